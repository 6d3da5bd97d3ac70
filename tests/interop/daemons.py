"""Debian's servers, unmodified, on the kernel's TCP in a namespace: started, waited for, and ended whatever happens."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.interop.namespace import KERNEL, Namespace

PATIENCE = 20  # seconds


@contextmanager
def daemon(wire: Namespace, port: int, log: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `words` in the namespace until something listens on `port` and the block is done; `log` has what it printed."""
    with log.open("wb") as output:
        process = subprocess.Popen(wire.command(*words), stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=log.parent)
    try:
        until = time.monotonic() + PATIENCE
        while not listening(wire, port):
            assert process.poll() is None and time.monotonic() < until, log.read_text()
            time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def listening(wire: Namespace, port: int) -> bool:
    """Whether the kernel has a listener on `port` in the namespace."""
    done = subprocess.run(
        wire.command("ss", "-Hltn", f"sport = :{port}"), check=True, capture_output=True, text=True, timeout=PATIENCE
    )
    return bool(done.stdout.strip())


NGINX = """
daemon off; master_process off; error_log stderr; pid {directory}/nginx.pid;
events {{ worker_connections 256; }}
http {{
  access_log off; client_max_body_size 300m; sendfile on;
  client_body_temp_path {directory}/b; proxy_temp_path {directory}/p; fastcgi_temp_path {directory}/f;
  uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  server {{
    listen {four}:{port}; listen [{six}]:{port}; root {root};
    location / {{ dav_methods PUT; }}
  }}
}}
"""


@contextmanager
def nginx(wire: Namespace, directory: Path, root: Path, port: int) -> Iterator[None]:
    """nginx with the files of `root`, at both of the namespace's addresses."""
    configuration = directory / "nginx.conf"
    configuration.write_text(NGINX.format(directory=directory, root=root, port=port, four=KERNEL[0], six=KERNEL[1]))
    with daemon(wire, port, directory / "nginx.log", "nginx", "-c", str(configuration), "-e", "stderr"):
        yield
