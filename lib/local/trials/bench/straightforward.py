"""What one would write first: connect and `requests.post` for each delivery. To measure against."""

import hashlib
import hmac
import json
import os
from http.server import BaseHTTPRequestHandler

import psycopg
import requests

INSERT = (
    "INSERT INTO ai_content (title, body, category, metadata, channel_id, event_name)"
    " VALUES (%s, %s, %s, %s, %s, %s) RETURNING id, created_at"
)


class handler(BaseHTTPRequestHandler):  # noqa: N801
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        secret = os.environ["MODELRIVER_WEBHOOK_SECRET"].encode()
        expected = hmac.new(secret, body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, self.headers["mr-signature"]):
            self.answer(401, {"error": "Invalid signature"})
            return
        event = json.loads(body)
        data, customer = event["ai_response"]["data"], event["customer_data"]
        metadata = {**customer, "ai_model": event["meta"]["model"]}
        with psycopg.connect(os.environ["DATABASE_URL"]) as database:
            row = database.execute(
                INSERT,
                (
                    *(data["title"], data.get("description", ""), customer["category"]),
                    *(json.dumps(metadata), event["channel_id"], event["event"]),
                ),
            ).fetchone()
        if row is None:
            raise RuntimeError("no row")
        requests.post(
            event["callback_url"],
            json={
                "data": {**data, "id": str(row[0]), "saved_at": row[1].isoformat()},
                "task_id": f"neon_{row[0]}",
                "metadata": {"database": "neon", "table": "ai_content", "record_id": str(row[0])},
            },
            headers={"Authorization": f"Bearer {os.environ['MODELRIVER_API_KEY']}"},
            timeout=10,
        ).raise_for_status()
        self.answer(200, {"received": True})

    def answer(self, status: int, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
