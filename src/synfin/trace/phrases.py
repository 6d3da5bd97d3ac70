"""Every phrase that narration is made of, in both languages: reasons, causes, triggers, states, faults.

Owns the words and no choice between them (narrate chooses). The Chinese terms are those of RFC 9293's Chinese readers:
报文段 segment, 序号 sequence number, 确认号 acknowledgment number, 半关闭 half-closed, 最长报文段寿命 MSL.
"""

from typing import Final, NamedTuple

from synfin.engine import segment as why
from synfin.engine.errors import DropReason as D
from synfin.engine.state import State as S
from synfin.engine.state import Trigger as T
from synfin.words import Text


class Duration(NamedTuple):
    """A length of time in nanoseconds, said with the unit that suits it; no digit of it is lost."""

    nanoseconds: int

    def say(self, lang: str) -> str:
        """`20 ms`, `1.5 s`, `250 us`."""
        n = self.nanoseconds
        for unit, size in ((SECONDS, 1_000_000_000), (MILLISECONDS, 1_000_000), (MICROSECONDS, 1_000)):
            if n >= size:
                return f"{_decimal(n, size)} {unit.say(lang)}"
        return f"{n} {NANOSECONDS.say(lang)}" if n else f"0 {MILLISECONDS.say(lang)}"


def _decimal(n: int, size: int) -> str:
    whole, rest = divmod(n, size)
    if not rest:
        return str(whole)
    digits = len(str(size)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0")


SECONDS: Final = Text("s", "秒")
MILLISECONDS: Final = Text("ms", "毫秒")
MICROSECONDS: Final = Text("us", "微秒")
NANOSECONDS: Final = Text("ns", "纳秒")

# A segment is sent: who, what, numbers, and then why.
SENDS: Final = Text("{who} sends {flags}, seq {seq}", "{who} 发出 {flags}，序号 {seq}")
SENDS_AGAIN: Final = Text("{who} sends {flags} again, seq {seq}", "{who} 重发 {flags}，序号 {seq}")
TURNS_UP: Final = Text(
    "A segment with the address of {who} turns up in the network, {flags}, seq {seq}",
    "网络中出现一个带有 {who} 地址的 {flags}，序号 {seq}",
)
WITH_ACK: Final = Text(", ack {ack}", "，确认号 {ack}")
WITH_BYTES: Final = Text(", {length} bytes", "，数据 {length} 字节")
WITH_BYTE: Final = Text(", {length} byte", "，数据 {length} 字节")
WITH_MESSAGES: Final = Text(" ({messages})", "（{messages}）")
WITH_URGENT: Final = Text(", urgent before number {urgent}", "，紧急数据到序号 {urgent} 之前为止")
WITH_WINDOW: Final = Text(", window {window}", "，窗口 {window}")
CAME_TWICE: Final = Text("; {again} has come twice", "；{again} 收到了两次")
HOLDS: Final = Text("; beyond what is missing it holds {held}", "；缺口之后它已持有 {held}")
COLON: Final = Text(": ", "：")
STOP: Final = Text(".", "。")

NOT_MEANT: Final = Text("it is old or forged, {who} did not send it now", "它是过时的或伪造的，{who} 现在并没有发送它")

REASONS: Final[dict[int, Text]] = {
    why.SYN_OPEN: Text(
        "it asks {peer} to open and says where its numbers begin; a SYN takes one sequence number",
        "请求 {peer} 建立连接，并告知自己的初始序号；SYN 占用一个序号",
    ),
    why.SYN_ACK: Text(
        "it agrees, says where its own numbers begin and that it expects {ack} next, since the SYN took one",
        "同意建立连接，告知自己的初始序号；对方的 SYN 占用一个序号，所以期待 {ack}",
    ),
    why.NEW_DATA: Text("new data; the ACK of all of it will be {next}", "新数据；全部收到后的确认号将是 {next}"),
    why.FIN_SENT: Text(
        "it has nothing more to send; a FIN takes one sequence number",
        "它没有数据要发了；FIN 占用一个序号",
    ),
    why.RETRANSMIT_TIMEOUT: Text(
        "no ACK came before the retransmission timer ran out; attempt {attempt}",
        "重传计时器到期仍未收到确认；第 {attempt} 次发送",
    ),
    why.FAST_RETRANSMIT: Text(
        "it does not wait for the timer, for the ACKs say that {peer} lacks just this; attempt {attempt}",
        "不等计时器到期，因为重复的确认说明 {peer} 正缺这一段；第 {attempt} 次发送",
    ),
    why.WINDOW_PROBE: Text(
        "a probe, for {peer} announced window 0, and only an answer tells whether it has opened",
        "窗口探测，{peer} 通告了零窗口，只有它的回答才能说明窗口是否已打开",
    ),
    why.ACK_DELAYED: Text(
        "it acknowledges what came; no data was there for the ACK to ride on",
        "确认收到的内容；没有数据可以捎带这个确认",
    ),
    why.ACK_SECOND: Text(
        "it acknowledges what came at once, and does not wait for data that the ACK could ride on",
        "立即确认收到的内容，不等待可以捎带确认的数据",
    ),
    why.ACK_WINDOW_UPDATE: Text(
        "a window update, for the application has read, and {window} bytes have room again",
        "窗口更新，应用程序读走了数据，现在又能接收 {window} 字节",
    ),
    why.ACK_DUPLICATE: Text(
        "what came was not what it expects next, so it says again that it waits for {ack}",
        "收到的不是它下一个期待的，所以再次说明它在等 {ack}",
    ),
    why.ACK_CHALLENGE: Text(
        "a challenge ACK, for it does not trust what came and only says where it stands (RFC 5961)",
        "质询确认，它不相信收到的报文段，只说明自己的位置（RFC 5961）",
    ),
    why.ACK_OF_SYN_ACK: Text(
        "the third segment, which tells {peer} that its SYN,ACK has arrived",
        "第三个报文段，告诉 {peer}，它的 SYN,ACK 已经收到",
    ),
    why.ACK_OF_FIN: Text(
        "it acknowledges the FIN of {peer}, which took one sequence number",
        "确认 {peer} 的 FIN，FIN 占用了一个序号",
    ),
    why.ACK_TIME_WAIT: Text(
        "{peer} repeated its FIN, so the last ACK must have been lost; 2MSL begins anew",
        "{peer} 重发了 FIN，说明最后的确认丢失了；2MSL 重新开始计时",
    ),
    why.RESET_NO_SOCKET: Text(
        "a reset, for there is no connection here that this could belong to",
        "复位，这里没有与之对应的连接",
    ),
    why.RESET_BAD_ACK: Text(
        "a reset, for what came acknowledges a number that {who} never sent",
        "复位，对方确认了 {who} 从未发出的序号",
    ),
    why.RESET_ABORT: Text(
        "a reset, for it gives the connection up; what is still under way is thrown away",
        "复位，它放弃这个连接，尚未送达的数据全部丢弃",
    ),
    why.RESET_AFTER_CLOSE: Text(
        "a reset, for data came after the application had closed, and nobody will read it",
        "复位，应用程序已经关闭，之后到来的数据没有人会读",
    ),
    why.RETRANSMIT_HANDSHAKE: Text(
        "no answer came before the timer ran out; attempt {attempt}",
        "计时器到期仍没有回答；第 {attempt} 次发送",
    ),
    why.RETRANSMIT_FIN: Text(
        "its FIN was not acknowledged before the timer ran out; attempt {attempt}",
        "计时器到期 FIN 仍未得到确认；第 {attempt} 次发送",
    ),
    why.URGENT_NOTICE: Text(
        "urgent data waits behind a closed window, so it tells {peer} at once",
        "紧急数据被关闭的窗口挡住，所以立即通知 {peer}",
    ),
    why.RETRANSMIT_OPENED: Text(
        "the window is open again, so what the closed one refused goes once more; attempt {attempt}",
        "窗口重新打开，先前被关闭的窗口拒收的数据再发一次；第 {attempt} 次发送",
    ),
    why.KEEPALIVE_PROBE: Text(
        "a keep-alive probe: its number is acknowledged already, so {peer} must answer if it still lives",
        "保活探测，它的序号早已被确认，{peer} 如果还在就必须回答",
    ),
    why.RESET_KEEPALIVE: Text(
        "a reset, for {peer} has answered none of its keep-alive probes",
        "复位，{peer} 没有回答任何一次保活探测",
    ),
    why.RETRANSMIT_SMALLER: Text(
        "a router said that the packet was too big for its link, so it goes again in smaller segments; attempt {attempt}",
        "路由器说这个包超过了链路的大小，所以用更小的报文段再发；第 {attempt} 次发送",
    ),
    why.NOT_TCP: Text("no segment of TCP's", "不是 TCP 报文段"),
    why.SYN_ACK_COOKIE: Text(
        "it agrees, but keeps nothing of {peer}: its sequence number is a cookie that will prove the answer (RFC 4987 3.6)",
        "同意连接，但不为 {peer} 保存任何信息：它的序号就是 cookie，将用来验证对方的应答（RFC 4987 3.6）",
    ),
    why.RESET_ACCEPT_QUEUE: Text(
        "a reset, for the accept queue is full",
        "复位，全连接队列已满",
    ),
}

# More exact than REASONS, where the rest of the trace tells more.
FIN_WITH_ACK_OF_FIN: Final = Text(
    "its FIN, and in the same segment the ACK of the FIN of {peer}; it had nothing left to send, so three segments close",
    "自己的 FIN，并在同一报文段里确认 {peer} 的 FIN；它没有剩余数据，所以三个报文段就能关闭",
)
FIN_SECOND: Final = Text(
    "now it has nothing more to send either, and finishes the other direction",
    "现在它也没有数据要发了，于是关闭另一个方向",
)
LAST_ACK_SENT: Final = Text(
    "the last ACK, for the FIN of {peer} took one sequence number",
    "最后一个确认，{peer} 的 FIN 占用了一个序号",
)
ACK_BEFORE_FIN: Final = Text(
    "it acknowledges the FIN of {peer}, which ends only that direction; its own stays open",
    "确认 {peer} 的 FIN，这只结束了那个方向；自己的方向仍然开放",
)
DATA_AFTER_FIN: Final = Text(
    "new data although {peer} has finished; half-closed, this direction still flows; the ACK will be {next}",
    "{peer} 已经关闭，但仍发送新数据；半关闭状态下这个方向还能传输；确认号将是 {next}",
)
DATA_ON_THIRD: Final = Text(
    "the third segment, which already carries data; the ACK of all of it will be {next}",
    "第三个报文段，同时已经携带数据；全部收到后的确认号将是 {next}",
)
ACK_FILLS_GAP: Final = Text(
    "what came fills a gap, so it says at once that it has everything before {ack}",
    "收到的填补了空缺，所以立即说明 {ack} 之前的都已收到",
)
ACK_OF_SEVERAL: Final = Text(
    "{count} segments with data have come since its last ACK, and it acknowledges them at once",
    "自上次确认以来已收到 {count} 个带数据的报文段，于是立即确认",
)
ACK_WINDOW_CLOSED: Final = Text(
    "its window is closed, so it takes nothing and says again that it waits for {ack}",
    "它的窗口已关闭，什么都不接收，只再次说明它在等 {ack}",
)
SYN_ACK_ASKED_AGAIN: Final = Text(
    "{peer} asked once more, so the answer was lost or is late; attempt {attempt}",
    "{peer} 又请求了一次，说明先前的回答丢失或迟到了；第 {attempt} 次发送",
)
RESET_UNREAD: Final = Text(
    "a reset, for it gives the connection up with {unread} bytes unread; {peer} must learn that they are lost (RFC 2525 2.17)",
    "复位，它放弃连接时还有 {unread} 字节未读，必须让 {peer} 知道这些数据丢失了（RFC 2525 2.17）",
)
SYN_ACK_SIMULTANEOUS: Final = Text(
    "both opened at once; its own SYN again, now with the ACK of the other one ({ack})",
    "双方同时打开，再次发出自己的 SYN，并确认对方的 SYN（{ack}）",
)

# What the network did.
LOST: Final = Text(
    "The {flags} of {who} (seq {seq}) never arrives ({cause}); {peer} stays in {state}",
    "{who} 的 {flags}（序号 {seq}）没有到达（{cause}）；{peer} 停留在 {state}",
)
LOST_SYN: Final = Text(" and knows nothing of it", "，对此一无所知")
LOST_SYN_ACK: Final = Text(" and does not know yet that it was heard", "，还不知道自己已被听到")
LOST_THIRD: Final = Text(" and does not know yet that it is heard", "，还不知道自己已被听到")
LOST_FIN: Final = Text(" and does not know that {who} has finished", "，不知道 {who} 已经发完")
LOST_LAST_ACK: Final = Text(" and will repeat its FIN", "，将会重发它的 FIN")
LOST_ACK_OF_FIN: Final = Text(
    " and repeats its FIN unless a later ACK comes in time", "，若没有后来的确认及时到达，就会重发它的 FIN"
)
LOST_KNOWN: Final = Text(" and misses nothing, for it has had this before", "，但没有错过什么，这些它早已收到")
LOST_DATA: Final = Text("; {who} keeps the bytes until they are acknowledged", "；{who} 会保留这些数据，直到被确认")
LOST_ACK: Final = Text("; a later ACK can say as much", "；之后的确认可以补上它")
LOST_RESET: Final = Text(" and still believes in the connection", "，仍以为连接存在")
LOST_RESET_IDLE: Final = Text(" and has no connection that it could have ended", "，那里没有可以由它结束的连接")
DUPLICATED: Final = Text(
    "The network makes a second copy of the {flags} of {who}, seq {seq}.",
    "网络把 {who} 的 {flags}（序号 {seq}）复制了一份。",
)
CORRUPTED: Final = Text(
    "The network turns {count} bit(s) in the {flags} of {who}, seq {seq}: bit {bits}.",
    "网络改变了 {who} 的 {flags}（序号 {seq}）中的 {count} 个比特：第 {bits} 位。",
)
LATE: Final = Text(
    "The {flags} of {who}, seq {seq}, reaches {peer} only now, after {delay}, overtaken by {overtaken} sent later",
    "{who} 的 {flags}（序号 {seq}）经过 {delay}才到达 {peer}：后发的 {overtaken} 个报文段已先到达",
)
LATE_COPY: Final = Text(
    "The copy of the {flags} of {who}, seq {seq}, reaches {peer} only now, after {delay}, overtaken by {overtaken} sent later",
    "{who} 的 {flags}（序号 {seq}）的副本经过 {delay}才到达 {peer}：后发的 {overtaken} 个报文段已先到达",
)
OF_EARLIER: Final = Text(
    "; it belongs to an earlier connection, and in this one its number means {here}",
    "；它属于先前的连接，而在现在的连接里，它的序号相当于 {here}",
)
CAUSES: Final[dict[str, Text]] = {
    "loss": Text("random loss", "随机丢失"),
    "burst": Text("burst of losses", "突发丢失"),
    "n-th": Text("dropped by number", "按编号丢弃"),
    "predicate": Text("dropped by a rule", "按规则丢弃"),
    "queue full": Text("queue full", "队列已满"),
    "partition": Text("partition", "网络分区"),
    "host down": Text("host down", "主机已停机"),
    "silent": Text("host silent", "主机沉默"),
    "simplex": Text("the link carries one direction only", "链路是单工的"),
    "larger than the MTU": Text("larger than the MTU", "超过 MTU"),
    "no route": Text("no route", "没有路由"),
}

# A state is entered: who, from, to, by what, and what it means.
MOVES: Final = Text("{who}: {old} -> {new} ({trigger})", "{who}：{old} -> {new}（{trigger}）")
TRIGGERS: Final[dict[T, Text]] = {
    T.PASSIVE_OPEN: Text("passive OPEN", "被动打开"),
    T.ACTIVE_OPEN: Text("active OPEN", "主动打开"),
    T.SEND: Text("SEND", "发送调用"),
    T.CLOSE: Text("CLOSE", "关闭调用"),
    T.SYN: Text("rcv SYN", "收到 SYN"),
    T.SYN_ACK: Text("rcv SYN,ACK", "收到 SYN,ACK"),
    T.ACK_OF_SYN: Text("rcv ACK of SYN", "收到对 SYN 的确认"),
    T.FIN: Text("rcv FIN", "收到 FIN"),
    T.ACK_OF_FIN: Text("rcv ACK of FIN", "收到对 FIN 的确认"),
    T.FIN_AND_ACK_OF_FIN: Text("rcv FIN, ACK of FIN", "收到 FIN 和对 FIN 的确认"),
    T.RESET: Text("rcv RST", "收到 RST"),
    T.RESET_TO_LISTEN: Text("rcv RST after a passive OPEN", "被动打开后收到 RST"),
    T.ABORT: Text("ABORT", "中止调用"),
    T.USER_TIMEOUT: Text("user timeout", "用户超时"),
    T.TWO_MSL: Text("2MSL timeout", "2MSL 到期"),
    T.GIVE_UP: Text("SYN-ACK retries used up", "SYN-ACK 重试用尽"),
    T.ORPHAN_TIMEOUT: Text("FIN-WAIT-2 timeout of an orphan", "孤儿连接的 FIN-WAIT-2 超时"),
    T.REUSE: Text("rcv SYN that reopens (RFC 6191)", "收到重新打开的 SYN（RFC 6191）"),
}
ENTERED: Final[dict[S, Text]] = {
    S.LISTEN: Text("it waits for whoever wants to connect", "等待任何人来建立连接"),
    S.SYN_SENT: Text("its SYN is on its way, and it waits for the answer", "SYN 已经发出，等待回答"),
    S.SYN_RECEIVED: Text(
        "it hears {peer}, and does not know yet whether {peer} hears it",
        "它能听到 {peer}，但还不知道 {peer} 能否听到它",
    ),
    S.ESTABLISHED: Text(
        "it hears {peer} and knows that {peer} hears it; data may flow both ways",
        "它能听到 {peer}，也知道 {peer} 能听到它；数据可以双向传输",
    ),
    S.FIN_WAIT_1: Text(
        "it has nothing more to send, and waits for the ACK of its FIN",
        "没有数据要发了，等待对自己 FIN 的确认",
    ),
    S.FIN_WAIT_2: Text(
        "its own direction is closed (half-closed); {peer} may still send",
        "自己的方向已经关闭（半关闭）；{peer} 仍可发送",
    ),
    S.CLOSE_WAIT: Text(
        "{peer} has nothing more to send; {who} may still send, and has to close on its own (half-closed)",
        "{peer} 没有数据要发了；{who} 仍可发送，并且要由自己来关闭（半关闭）",
    ),
    S.CLOSING: Text(
        "both finished at the same time; it waits for the ACK of its own FIN",
        "双方同时关闭；它等待对自己 FIN 的确认",
    ),
    S.LAST_ACK: Text("both directions are done but for the ACK of its FIN", "两个方向都已结束，只等对自己 FIN 的确认"),
    S.TIME_WAIT: Text(
        "it stays for 2MSL, for its last ACK may be lost and old segments must die out",
        "停留 2MSL，因为最后的确认可能丢失，旧报文段也要在网络中消失",
    ),
    S.CLOSED: Text("the connection is over", "连接结束"),
}
CLOSED_BY: Final[dict[T, Text]] = {
    T.TWO_MSL: Text(
        "2MSL have passed, and nothing of this connection should be left in the network",
        "2MSL 已过，网络中应当不再有这个连接的报文段",
    ),
    T.ACK_OF_FIN: Text("its FIN is acknowledged, and nothing is left to do", "FIN 已得到确认，一切都已完成"),
    T.RESET: Text("the reset ends the connection at once", "复位使连接立即结束"),
    T.ABORT: Text("it gives the connection up at once", "它立即放弃连接"),
    T.USER_TIMEOUT: Text("it has waited long enough and gives up", "等待已经太久，放弃连接"),
    T.GIVE_UP: Text("its SYN,ACK was never answered", "它的 SYN,ACK 一直没有回答"),
    T.ORPHAN_TIMEOUT: Text(
        "the FIN of {peer} never came, and no process is waiting for it",
        "{peer} 的 FIN 一直没来，也没有进程在等它",
    ),
    T.REUSE: Text("a new SYN takes the place of the old connection", "新的 SYN 取代了旧连接"),
    T.CLOSE: Text("it closes before anything was open", "连接尚未建立就关闭了"),
}
BACK_TO_LISTEN: Final = Text(
    "the SYN was not meant, and it listens again",
    "那个 SYN 并非有意发出，回到监听",
)

# Timers.
TIMER_STARTED: Final[dict[str, Text]] = {
    "2MSL": Text(
        "{who} starts its 2MSL timer: {duration} in TIME-WAIT.",
        "{who} 启动 2MSL 计时器：在 TIME-WAIT 停留 {duration}。",
    ),
    "persist": Text(
        "{who} starts its persist timer: {peer} has no room, so it will ask in {duration}.",
        "{who} 启动坚持计时器：{peer} 没有空间了，{duration}后再询问。",
    ),
    "FIN-WAIT-2": Text(
        "{who} starts its FIN-WAIT-2 timer: without a process it waits {duration} for the FIN of {peer}.",
        "{who} 启动 FIN-WAIT-2 计时器：没有进程时，等待 {peer} 的 FIN {duration}。",
    ),
}
TIMER_STARTED_OTHER: Final = Text("{who} starts a timer ({timer}): {duration}.", "{who} 启动计时器（{timer}）：{duration}。")
TIMER_FIRED: Final = Text("The timer of {who} runs out: {timer}", "{who} 的计时器到期：{timer}")
TIMER_NEXT: Final = Text("; the next wait is {wait}", "；下一次等待 {wait}")
TIMER_DETAIL: Final = Text(" ({detail})", "（{detail}）")
TIMERS: Final[dict[str, Text]] = {
    "retransmission": Text("retransmission", "重传"),
    "handshake": Text("handshake", "握手"),
    "persist": Text("persist", "坚持"),
    "delayed ACK": Text("delayed ACK", "延迟确认"),
    "2MSL": Text("2MSL", "2MSL"),
    "user timeout": Text("user timeout", "用户超时"),
    "FIN-WAIT-2": Text("FIN-WAIT-2", "FIN-WAIT-2"),
    "keepalive": Text("keep-alive", "保活"),
}

# In the ladder's narrow columns.
TIMERS_SHORT: Final[dict[str, Text]] = {
    "retransmission": Text("RTO runs out", "重传超时"),
    "handshake": Text("RTO runs out", "重传超时"),
    "persist": Text("persist ends", "坚持时间到"),
    "user timeout": Text("user timeout", "用户超时"),
    "FIN-WAIT-2": Text("FIN-WAIT-2 timeout", "FIN-WAIT-2 超时"),
}

# A segment, or a part of it, is not taken.
DROPPED: Final = Text(
    "{who} does not take the {flags} with seq {seq} ({reason})",
    "{who} 不接受序号为 {seq} 的 {flags}（{reason}）",
)
DROPPED_UNREAD: Final = Text("{who} drops a packet ({reason})", "{who} 丢弃一个分组（{reason}）")
DROPS: Final[dict[D, Text]] = {
    D.TRUNCATED: Text("truncated", "被截短"),
    D.IP_VERSION: Text("IP version", "IP 版本不对"),
    D.IP_HEADER: Text("IP header", "IP 首部有误"),
    D.IP_CHECKSUM: Text("IP checksum", "IP 检验和不对"),
    D.IP_FRAGMENT: Text("IP fragment", "IP 分片"),
    D.FRAGMENT_OVERLAP: Text("overlapping fragments", "分片重叠"),
    D.FRAGMENT_LIMIT: Text("too many fragments", "分片太多"),
    D.FRAGMENT_TIMEOUT: Text("fragments missing", "分片不全"),
    D.NOT_TCP: Text("not TCP", "不是 TCP"),
    D.ICMP_CHECKSUM: Text("ICMP checksum", "ICMP 检验和不对"),
    D.ICMP_UNKNOWN: Text("ICMP unknown", "不认识的 ICMP 报文"),
    D.ICMP_UNPROVEN: Text("ICMP unproven", "无法证实的 ICMP 报文"),
    D.SOURCE_ADDRESS: Text("source address", "源地址不可用"),
    D.NOT_OURS: Text("not our address", "不是本机地址"),
    D.TCP_HEADER: Text("TCP header", "TCP 首部有误"),
    D.TCP_OPTION: Text("TCP option", "TCP 选项有误"),
    D.TCP_CHECKSUM: Text("TCP checksum", "TCP 检验和不对"),
    D.PORT_ZERO: Text("port 0", "端口为 0"),
    D.NO_SOCKET: Text("no socket", "没有对应的套接字"),
    D.NO_FLAGS: Text("no ACK, SYN or RST", "没有 ACK、SYN 或 RST"),
    D.RST_OUT_OF_WINDOW: Text("RST outside the window", "RST 在窗口之外"),
    D.RST_NOT_EXACT: Text("RST not at RCV.NXT", "RST 的序号不是 RCV.NXT"),
    D.RST_IGNORED: Text("RST ignored", "忽略 RST"),
    D.SYN_IN_WINDOW: Text("SYN in a synchronized state", "连接已同步时的 SYN"),
    D.PAWS: Text("PAWS", "时间戳过旧（PAWS）"),
    D.OUT_OF_WINDOW: Text("outside the window", "在窗口之外"),
    D.DUPLICATE: Text("duplicate", "重复"),
    D.ACK_TOO_NEW: Text("ACK of what was never sent", "确认了从未发出的序号"),
    D.ACK_TOO_OLD: Text("ACK older than the window", "确认号比窗口还旧"),
    D.ACK_MISSING: Text("no ACK flag", "没有 ACK 标志"),
    D.ACK_UNACCEPTABLE: Text("unacceptable ACK", "不可接受的确认"),
    D.DATA_ON_SYN: Text("data or FIN on a SYN", "SYN 上带有数据或 FIN"),
    D.REASSEMBLY_FULL: Text("reassembly full", "重组缓存已满"),
    D.SYN_QUEUE_FULL: Text("SYN queue full", "半连接队列已满"),
    D.ACCEPT_QUEUE_FULL: Text("accept queue full", "全连接队列已满"),
    D.COOKIE_REFUSED: Text("SYN cookie refused", "SYN cookie 无效"),
    D.AFTER_CLOSE: Text("data after close", "关闭之后的数据"),
}

# The application.
CALLS: Final = Text("{who}'s application calls {call}({arguments})", "{who} 的应用程序调用 {call}({arguments})")
CALL_WAITED: Final = Text(", which blocks for {blocked} and", "，阻塞了 {blocked}，")
CALL_AT_ONCE: Final = Text(", which", "，立即")
CALL_SUCCEEDED: Final = Text(" succeeds", "成功")
CALL_RESULT: Final = Text(" returns {result}", "返回 {result}")
CALL_END: Final = Text(
    " returns {result}: the stream has ended, the peer sends nothing more",
    "返回 {result}：数据流已结束，对方不再发送",
)
CALL_BYTES: Final = Text("{data}... {count} bytes", "{data}... 共 {count} 字节")
CALL_FAILED: Final = Text(" fails with {error}", "失败：{error}")

# Faults.
FAULTS: Final[dict[str, Text]] = {
    "link cut": Text("The link {subject} is cut.", "链路 {subject} 被切断。"),
    "link healed": Text("The link {subject} is whole again.", "链路 {subject} 恢复。"),
    "host crashed": Text(
        "{subject} crashes and forgets everything, without a word to anybody.",
        "{subject} 崩溃，忘记了一切，也没有通知任何人。",
    ),
    "host restarted": Text(
        "{subject} is up again and knows nothing of its former connections.",
        "{subject} 重新启动，对以前的连接一无所知。",
    ),
    "host silent": Text(
        "{subject} falls silent: it sends nothing and hears nothing.",
        "{subject} 沉默了：既不发送，也不接收。",
    ),
    "host speaks": Text("{subject} speaks and hears again.", "{subject} 恢复收发。"),
}
FAULTS_SHORT: Final[dict[str, Text]] = {
    "link cut": Text("link {subject} cut", "链路 {subject} 切断"),
    "link healed": Text("link {subject} healed", "链路 {subject} 恢复"),
    "host crashed": Text("{subject} crashes", "{subject} 崩溃"),
    "host restarted": Text("{subject} starts again", "{subject} 重新启动"),
    "host silent": Text("{subject} falls silent", "{subject} 沉默"),
    "host speaks": Text("{subject} speaks again", "{subject} 恢复收发"),
}
FAULT_OTHER: Final = Text("{what}: {subject}.", "{what}：{subject}。")

# Congestion control.
CONGESTION: Final = Text(
    "Congestion control of {who}: {cause}; cwnd {cwnd} bytes, ssthresh {ssthresh} bytes.",
    "{who} 的拥塞控制：{cause}；拥塞窗口 {cwnd} 字节，慢开始门限 {ssthresh} 字节。",
)
CONGESTION_NO_LIMIT: Final = Text(
    "Congestion control of {who}: {cause}; cwnd {cwnd} bytes.",
    "{who} 的拥塞控制：{cause}；拥塞窗口 {cwnd} 字节。",
)
CONGESTION_CAUSES: Final[dict[str, Text]] = {
    "slow start": Text("slow start", "慢开始"),
    "congestion avoidance": Text("congestion avoidance", "拥塞避免"),
    "fast recovery": Text("fast recovery", "快恢复"),
    "fast retransmit": Text("fast retransmit", "快重传"),
    "recovered": Text("recovered", "恢复完成"),
    "timeout": Text("timeout", "超时"),
    "idle": Text("idle", "空闲"),
}
