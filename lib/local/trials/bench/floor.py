"""The floor: the same job stripped bare, to measure against. Keeps none of the promises.

One kept autocommit connection for each thread at work, a hand-written kept-alive POST, one HMAC,
one plain insert; no retry, no log, no note of the callback, no second look at anything.
"""

import hashlib
import hmac
import http.client
import json
import os
import queue
import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import certifi
import psycopg

ThreadingHTTPServer.request_queue_size = 1024

SECRET = os.environ["MODELRIVER_WEBHOOK_SECRET"].encode()
KEY = os.environ["MODELRIVER_API_KEY"]
ORIGIN = urlsplit(os.environ["MODELRIVER_CALLBACK_ORIGINS"])
INSERT = (
    "INSERT INTO ai_content (title, body, category, metadata, channel_id, event_name)"
    " VALUES (%s, %s, %s, %s, %s, %s) RETURNING id, created_at"
)
TLS = ssl.create_default_context(cafile=certifi.where()) if ORIGIN.scheme == "https" else None
# The runtime has a new thread for each request, so what is kept is handed from one to the next.
kept: queue.SimpleQueue[tuple[psycopg.Connection, http.client.HTTPConnection]] = queue.SimpleQueue()


class handler(BaseHTTPRequestHandler):  # noqa: N801
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        expected = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, self.headers["mr-signature"]):
            self.answer(401, b'{"error":"Invalid signature"}')
            return
        event = json.loads(body)
        data, customer = event["ai_response"]["data"], event["customer_data"]
        metadata = {**customer, "ai_model": event["meta"]["model"]}
        try:
            database, modelriver = kept.get_nowait()
        except queue.Empty:
            url = os.environ["DATABASE_URL"]
            database = psycopg.connect(url, autocommit=True, prepare_threshold=None)
            modelriver = (
                http.client.HTTPSConnection(ORIGIN.hostname or "", ORIGIN.port, context=TLS)
                if TLS
                else http.client.HTTPConnection(ORIGIN.hostname or "", ORIGIN.port)
            )
        row = database.execute(
            INSERT,
            (
                *(data["title"], data.get("description", ""), customer["category"]),
                *(json.dumps(metadata), event["channel_id"], event["event"]),
            ),
        ).fetchone()
        if row is None:
            raise RuntimeError("no row")
        record = {**data, "id": str(row[0]), "saved_at": row[1].isoformat()}
        payload = {
            "data": record,
            "task_id": f"neon_{row[0]}",
            "metadata": {"database": "neon", "table": "ai_content", "record_id": str(row[0])},
        }
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        path = urlsplit(event["callback_url"]).path
        modelriver.request("POST", path, json.dumps(payload).encode(), headers)
        modelriver.getresponse().read()
        kept.put((database, modelriver))
        self.answer(200, b'{"received":true}')

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Nothing."""
