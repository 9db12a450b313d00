"""Every speed and memory claim as a program that prints a ratio against restate-sdk, measured in the same run.

python -m bench                         all of it (`make bench`)
python -m bench.cpu steps replay_100    some of the CPU measurements
python -m bench.cpu --profile durably steps
python -m bench.memory
python -m bench.imports
python -m bench.engine                  the embedded engine beside DBOS and a Restate Server (extra `bench`)
"""
