import argparse, asyncio, importlib, os, signal, sys, logging
logging.basicConfig(level="INFO")
import uvicorn
from datetime import timedelta
from durably.engine.engine import Engine
from durably.engine.records import EngineOptions, RetryPolicy
from durably.engine.ingress.app import IngressApp
from durably.protocol.versions import ProtocolVersion

def ms(text):
    for unit, factor in (("ms",1),("s",1000),("m",60000)):
        if text.endswith(unit): return int(float(text[:-len(unit)])*factor)
    raise ValueError(text)

async def main():
    p=argparse.ArgumentParser()
    for n in ("db","ingress-port","admin-port","max-protocol-version","inactivity-timeout","retry-initial-interval","retry-max-interval","retry-max-attempts"): p.add_argument("--"+n)
    p.add_argument("--lazy-state", nargs="?", const="true")
    p.add_argument("app", nargs="?")
    a=p.parse_args()
    r=RetryPolicy()
    r=RetryPolicy(initial_interval_ms=ms(a.retry_initial_interval) if a.retry_initial_interval else r.initial_interval_ms,
      max_interval_ms=ms(a.retry_max_interval) if a.retry_max_interval else r.max_interval_ms,
      max_attempts=int(a.retry_max_attempts) if a.retry_max_attempts else r.max_attempts)
    o=EngineOptions(max_protocol_version=ProtocolVersion(int(a.max_protocol_version or 7)), enable_lazy_state=bool(a.lazy_state), retry_policy=r,
      **({"inactivity_timeout_ms":ms(a.inactivity_timeout)} if a.inactivity_timeout else {}))
    app=None
    if a.app:
        m,_,n=a.app.partition(":"); app=getattr(importlib.import_module(m),n)
    async with Engine("sqlite:///"+a.db, application=app, options=o, stop_grace=timedelta(seconds=1)) as e:
        apps=[(IngressApp(e.api),a.ingress_port)]
        try:
            from durably.engine.admin.app import AdminApp
            apps.append((AdminApp(e.api),a.admin_port))
        except ImportError as x:
            print(x)
        servers=[uvicorn.Server(uvicorn.Config(x,host="127.0.0.1",port=int(port),log_level="warning",timeout_graceful_shutdown=1)) for x,port in apps]
        for s in servers: s.install_signal_handlers=lambda:None; s.capture_signals=__import__("contextlib").nullcontext
        stop=asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        t=[asyncio.create_task(s.serve()) for s in servers]
        await stop.wait()
        for s in servers: s.should_exit=True
        await asyncio.gather(*t)
asyncio.run(main())
