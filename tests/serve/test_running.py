"""The socket that a server listens at."""

import asyncio
import socket

import pytest

from okedit_cli.errors import OkeditError
from okedit_cli.serve.running import address, bound


def test_what_is_written_to_a_client_is_sent_at_once():
    """With Nagle's delay each answer of a head and a body would wait for the client's acknowledgement."""

    async def delayed() -> bool:
        found = asyncio.get_running_loop().create_future()

        async def taken(reader, writer):
            taken_by = writer.get_extra_info("socket")
            found.set_result(not taken_by.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(taken, sock=bound("127.0.0.1", 0)) as server:
            host, port = server.sockets[0].getsockname()
            _, writer = await asyncio.open_connection(host, port)
            answer = await found
            writer.close()
            return answer

    assert not asyncio.run(delayed())


def test_an_address_that_is_taken_is_named():
    with bound("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
        assert address(held) == f"http://127.0.0.1:{port}"
        with pytest.raises(OkeditError, match=f"Cannot listen at 127.0.0.1 port {port}"):
            bound("127.0.0.1", port)
