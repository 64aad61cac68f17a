"""What clients of the endpoints send and must be answered, as data, and what holds it against one.

    python3 -m tests.wire http://127.0.0.1:9254 --bearer-file FILE
    python3 -m tests.wire http://169.254.169.254

A bare Python 3.11 will do, so that the cases can be held against the real service on an EC2
instance. How a case is written stands in `cases/README.md`.
"""
