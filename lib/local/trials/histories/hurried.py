"""The function with shorter waits: what gives up after 24 s gives up after 4, and so on.

A history waits for the same things as on Vercel, and more histories go into an hour.
"""

from api import modelriver
from lib import callback, database_connection, webhook

webhook.ANSWER_WITHIN = 4.0
webhook.SAVE_WITHIN = 1.5
webhook.NOTE_WITHIN = 1.0
callback.ANSWER_TIMEOUT = 1.0
database_connection.EXECUTE_TIMEOUT = 0.7


class handler(modelriver.handler):  # noqa: N801 - as the function's is called
    """The function's own."""
