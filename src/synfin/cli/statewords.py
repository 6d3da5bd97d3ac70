"""What a person wants to know of each of the eleven states, in both languages, as data.

Owns the words alone. Which state follows which is engine.state's; how it is laid out is states.py's.
"""

from typing import Final, NamedTuple

from synfin.engine.state import State
from synfin.words import Text


class StateWords(NamedTuple):
    """`meaning`: what the side in this state knows and waits for. `lasts`: how long that usually takes. `pile`: what many
    connections in it mean. `spellings`: how tools write it. `scenario`: which `synfin demo` shows it."""

    meaning: Text
    lasts: Text
    pile: Text
    spellings: tuple[str, ...]
    scenario: str


WORDS: Final[dict[State, StateWords]] = {
    State.CLOSED: StateWords(
        Text("There is no connection: before the first call, or after the end.", "没有连接：还没有调用，或者已经结束。"),
        Text("As long as nobody opens; no tool lists it.", "直到有人打开为止；没有工具会列出它。"),
        Text(
            "Nothing: it holds no memory. A segment that arrives here is answered with RST.",
            "不说明任何问题：它不占内存。到达这里的报文段会得到 RST。",
        ),
        ("CLOSED", "CLOSE", "UNCONN"),
        "refused",
    ),
    State.LISTEN: StateWords(
        Text(
            "A server waits for a SYN from anybody; the connection itself will be another entry.",
            "服务器等待任何人的 SYN；连接本身会另占一项。",
        ),
        Text("As long as the server runs.", "服务器运行多久就有多久。"),
        Text("One for each port and address that is served.", "每个提供服务的端口和地址各有一个。"),
        ("LISTEN", "LISTENING"),
        "three-way-handshake",
    ),
    State.SYN_SENT: StateWords(
        Text(
            "The client has sent its SYN and does not know yet whether anybody hears it.",
            "客户端已经发出 SYN，还不知道有没有人听见。",
        ),
        Text(
            "One round trip; with nobody answering, until the SYN's retries are used up (180 s by default).",
            "一个往返时间；没有人回答时，直到 SYN 的重试用完（默认 180 秒）。",
        ),
        Text(
            "The other side, or a firewall before it, drops SYNs: the host is down, or the server's queues are full.",
            "对方或其前面的防火墙丢弃 SYN：主机不在，或者服务器的队列已满。",
        ),
        ("SYN-SENT", "SYN_SENT", "SYN_SEND"),
        "lost-syn",
    ),
    State.SYN_RECEIVED: StateWords(
        Text(
            "A SYN has come and the SYN,ACK has gone out: this side hears, but does not know that it is heard."
            " Such a connection is embryonic.",
            "SYN 已到，SYN,ACK 已发：本方能听见，但还不知道自己被听见。这是半连接（尚未建成的连接）。",
        ),
        Text(
            "One round trip, too short to be seen; without the last ACK, until the SYN,ACK's retries are used up"
            " (63 s by default).",
            "一个往返时间，短得看不见；收不到最后的 ACK 时，直到 SYN,ACK 的重试用完（默认 63 秒）。",
        ),
        Text(
            "A SYN flood, most likely: many entries, random source addresses. Or the way back to the clients is broken.",
            "很可能是 SYN 攻击（洪泛）：数量多、源地址随机。也可能是通往客户端的路断了。",
        ),
        ("SYN-RECEIVED", "SYN-RECV", "SYN_RECV", "SYN_RCVD"),
        "lost-third-ack",
    ),
    State.ESTABLISHED: StateWords(
        Text(
            "Both sides know that they hear and are heard: data may flow both ways.",
            "双方都知道自己能听见、也被听见：数据可以双向流动。",
        ),
        Text("As long as both applications want.", "由双方的应用决定。"),
        Text(
            "Work, or idle long connections. When the peers are long gone, half-open ones: only sending or a keep-alive"
            " finds out.",
            "正在工作，或是空闲的长连接。如果对方早已消失，就是半开连接：只有发送数据或保活探测才能发现。",
        ),
        ("ESTABLISHED", "ESTAB"),
        "whole-life",
    ),
    State.FIN_WAIT_1: StateWords(
        Text(
            "This side closed first; its FIN is out, or waits behind unsent data, and is not acknowledged yet.",
            "本方主动关闭；FIN 已发出（或排在未发的数据之后），还没有得到确认。",
        ),
        Text("One round trip: the peer's TCP acknowledges at once.", "一个往返时间：对方的 TCP 会立即确认。"),
        Text(
            "Peers that vanished, or that keep their window shut while data waits before the FIN.",
            "对方消失了，或者对方窗口一直为零而 FIN 之前还有数据。",
        ),
        ("FIN-WAIT-1", "FIN_WAIT_1", "FIN_WAIT1"),
        "close-client-first",
    ),
    State.FIN_WAIT_2: StateWords(
        Text(
            "Our FIN is acknowledged: half-closed. The peer may still send, and we wait for its FIN.",
            "本方的 FIN 已被确认：半关闭。对方仍可发送，我们等待它的 FIN。",
        ),
        Text(
            "Until the peer's application closes; without a process on this side at most 60 s by default.",
            "直到对方的应用关闭；本方已没有进程时，默认最多 60 秒。",
        ),
        Text(
            "The peers do not close: look for CLOSE-WAIT over there.",
            "对方没有关闭：到对方那里去看 CLOSE-WAIT。",
        ),
        ("FIN-WAIT-2", "FIN_WAIT_2", "FIN_WAIT2"),
        "fin-wait-2-held",
    ),
    State.CLOSE_WAIT: StateWords(
        Text(
            "The peer has closed its direction, and TCP waits for you: half-closed until this application calls close.",
            "对方已经关闭它的方向，TCP 在等你：在本方应用调用 close 之前一直是半关闭。",
        ),
        Text(
            "As long as this application takes; no timer ends it.",
            "由本方应用决定；没有定时器会结束它。",
        ),
        Text(
            "A bug in this program: it does not close sockets after end of file.",
            "本程序有错误：读到结尾之后没有关闭套接字。",
        ),
        ("CLOSE-WAIT", "CLOSE_WAIT"),
        "half-close",
    ),
    State.CLOSING: StateWords(
        Text(
            "Both sides closed at the same time; the peer's FIN is here, the ACK of ours is not.",
            "双方同时关闭；对方的 FIN 已到，对本方 FIN 的确认未到。",
        ),
        Text("Part of a round trip; rarely seen.", "不到一个往返时间；很少看到。"),
        Text("ACKs get lost on the way to here.", "发往本方的 ACK 在路上丢失。"),
        ("CLOSING",),
        "simultaneous-close",
    ),
    State.LAST_ACK: StateWords(
        Text(
            "Both directions are closed, our FIN went last; only its ACK is missing.",
            "两个方向都已关闭，本方的 FIN 在后；只差对它的确认。",
        ),
        Text("One round trip.", "一个往返时间。"),
        Text(
            "The last ACKs are lost, or the peers are gone; the FIN is repeated until the user timeout.",
            "最后的 ACK 丢失，或者对方已经不在；FIN 会重发，直到用户超时。",
        ),
        ("LAST-ACK", "LAST_ACK"),
        "last-ack-lost",
    ),
    State.TIME_WAIT: StateWords(
        Text(
            "All is said; this side, which closed first, stays to answer a repeated FIN and to let old segments die.",
            "话已说完；主动关闭的一方留下来，以便回答重发的 FIN，并等旧报文段消亡。",
        ),
        Text(
            "2MSL: 120 s by default here, 60 s on Linux; a repeated FIN starts it anew.",
            "2MSL：这里默认 120 秒，Linux 上 60 秒；收到重发的 FIN 就重新计时。",
        ),
        Text(
            "Normal for who closes many short connections first. It costs little but the ports:"
            " keep connections, or let the clients close.",
            "对主动关闭大量短连接的一方是正常的。代价不大，只占端口：改用长连接，或让客户端先关闭。",
        ),
        ("TIME-WAIT", "TIME_WAIT"),
        "close-client-first",
    ),
}

LEADS_IN: Final = Text("leads in", "进入")
LEADS_OUT: Final = Text("leads out", "离开")
MEANING: Final = Text("meaning", "含义")
LASTS: Final = Text("usually lasts", "通常多久")
PILE: Final = Text("a pile of it", "大量出现")
SPELLED: Final = Text("also spelled", "其他写法")
SEEN_IN: Final = Text("seen in", "演示")
TITLE: Final = Text("The eleven states of TCP (RFC 9293 figure 5)", "TCP 的十一个状态（RFC 9293 图 5）")
BEYOND: Final = Text("beyond figure 5", "图 5 之外")
LEGEND: Final = Text(
    "* beyond figure 5. `synfin states NAME` explains one, `--svg FILE` draws all.",
    "* 图 5 之外。`synfin states 状态名` 解释一个状态，`--svg 文件` 画出全图。",
)
TO_CLOSED: Final = Text("not drawn, to CLOSED:", "未画出，到 CLOSED：")
DIAGRAM: Final = Text("diagram", "状态图")
JOIN: Final = Text(", ", "、")
