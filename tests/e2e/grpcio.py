"""gRPC's own Python implementation as server and client, the gateway between them.

Prints the server's port, reads the gateway's address, makes calls, and ends with status 0 where all
came to what they should. Messages are plain bytes, so that nothing needs to be generated.
"""

import sys
import threading
from concurrent import futures

import grpc

PATIENCE = 60
cancelled = threading.Event()
remaining = []


def unary(message, context):
    remaining.append(context.time_remaining())
    said = dict(context.invocation_metadata())
    context.set_trailing_metadata((("x-said", said.get("x-say", "")),))
    return message


def client_stream(messages, context):
    return str(sum(len(message) for message in messages)).encode()


def server_stream(message, context):
    for n in range(int(message)):
        yield str(n).encode()


def chat(messages, context):
    for message in messages:
        yield b"re: " + message


def hang(message, context):
    remaining.append(context.time_remaining())
    context.add_callback(cancelled.set)
    yield b"first"
    cancelled.wait(PATIENCE)


def refuse(message, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "no such order: 100 % sure\n")


def serve():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Sum": grpc.stream_unary_rpc_method_handler(client_stream),
        "Count": grpc.unary_stream_rpc_method_handler(server_stream),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
        "Hang": grpc.unary_stream_rpc_method_handler(hang),
        "Refuse": grpc.unary_unary_rpc_method_handler(refuse),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a.B", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def fails(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("no error")


def calls(channel):
    code = grpc.StatusCode
    unary = channel.unary_unary("/a.B/Unary")
    answer, call = unary.with_call(b"hello", metadata=(("x-say", "word"),), timeout=PATIENCE)
    assert answer == b"hello"
    assert dict(call.trailing_metadata())["x-said"] == "word", call.trailing_metadata()
    assert 0 < remaining.pop() <= PATIENCE
    yield "unary"

    sizes = [n * 1000 for n in range(50)]
    total = channel.stream_unary("/a.B/Sum")((b"x" * n for n in sizes), timeout=PATIENCE)
    assert int(total) == sum(sizes)
    yield "client streaming"

    counted = list(channel.unary_stream("/a.B/Count")(b"100", timeout=PATIENCE))
    assert counted == [str(n).encode() for n in range(100)]
    yield "server streaming"

    heard = threading.Semaphore(1)

    def talk():
        for n in range(50):
            assert heard.acquire(timeout=PATIENCE)
            yield str(n).encode()

    answers = channel.stream_stream("/a.B/Chat")(talk(), timeout=PATIENCE)
    for n, answer in enumerate(answers):
        assert answer == b"re: " + str(n).encode()
        heard.release()
    assert n == 49
    yield "both streaming"

    large = bytes(range(256)) * 4096
    assert unary(large, timeout=PATIENCE) == large
    yield "a mebibyte"

    error = fails(lambda: channel.unary_unary("/a.B/Refuse")(b"", timeout=PATIENCE))
    assert error.code() == code.NOT_FOUND, error
    assert error.details() == "no such order: 100 % sure\n", error.details()
    yield "a refusal"

    stream = channel.unary_stream("/a.B/Hang")(b"", timeout=PATIENCE)
    assert next(stream) == b"first"
    stream.cancel()
    assert cancelled.wait(PATIENCE), "the server did not hear of it"
    yield "cancellation"

    cancelled.clear()
    remaining.clear()
    stream = channel.unary_stream("/a.B/Hang")(b"", timeout=0.5)
    error = fails(lambda: list(stream))
    assert error.code() == code.DEADLINE_EXCEEDED, error
    assert cancelled.wait(PATIENCE), "the server did not hear of it"
    # Its own rounding upwards included.
    assert remaining.pop() < 0.6
    yield "deadline"

    cancelled.clear()
    for path, wanted in [
        ("/no.Such/Get", code.UNIMPLEMENTED),
        ("/a.Gone/Get", code.UNAVAILABLE),
        ("/a.Slow/Get", code.DEADLINE_EXCEEDED),
    ]:
        error = fails(lambda: channel.unary_unary(path)(b"", timeout=PATIENCE))
        assert error.code() == wanted, error
    limited = channel.unary_unary("/a.Limited/Get")
    fails(lambda: limited(b"", timeout=PATIENCE))
    error = fails(lambda: limited(b"", timeout=PATIENCE))
    assert error.code() == code.RESOURCE_EXHAUSTED, error
    assert error.details() == "Too many requests", error.details()
    yield "the gateway's own errors"

    for start in range(0, 10_000, 100):
        batch = [unary.future(str(n).encode(), timeout=PATIENCE) for n in range(start, start + 100)]
        assert [int(call.result()) for call in batch] == list(range(start, start + 100))
    yield "ten thousand calls"


def main():
    server, port = serve()
    print(port, flush=True)
    address = sys.stdin.readline().strip()
    with grpc.insecure_channel(address) as channel:
        for done in calls(channel):
            print(done, flush=True)
    server.stop(0).wait(PATIENCE)


main()
