"""Ways to reach a service: in process, HTTP/2, HTTP/1.1; and what it tells at registration."""
