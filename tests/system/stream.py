"""Clients that ask again and again, and count what they are told."""

# `-c STREAM PORT`: prints "asking" once it does, and the counts when its input ends.
STREAM = """
import collections, http.client, json, sys, threading
counts, over = collections.Counter(), threading.Event()
def ask():
    while not over.is_set():
        try:
            connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=30)
            connection.request("GET", "/healthz")
            counts[str(connection.getresponse().status)] += 1
            connection.close()
        except (OSError, http.client.HTTPException) as error:
            counts[repr(error)] += 1
threads = [threading.Thread(target=ask) for _ in range(4)]
for each in threads: each.start()
print("asking", flush=True)
sys.stdin.read()
over.set()
for each in threads: each.join()
print(json.dumps(counts))
"""
