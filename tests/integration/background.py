"""Clients of a story that run in an event loop of their own thread."""
import asyncio
import threading

from harness import wait_until


class Background:
    """Runs the tasks that `begin()` answers, in a thread, as long as the `with` lasts; `begin` is called in the loop. More may be
    appended to what it answered; all are cancelled at the end."""

    loop = stop = None

    def begin(self):
        raise NotImplementedError

    async def run(self):
        self.loop, stop = asyncio.get_running_loop(), asyncio.Event()
        tasks = self.begin()
        self.stop = stop
        await stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def __enter__(self):
        self.thread = threading.Thread(target=lambda: asyncio.run(self.run()))
        self.thread.start()
        wait_until(lambda: self.stop is not None)
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(60)
