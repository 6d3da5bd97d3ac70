"""What the verdict says: titles and reasons. Owns sentences only."""

from typing import Final

from synfin.watch.findings import Kind, Level
from synfin.words import Text

LEVELS: Final = {
    Level.NONE: Text("no flood", "没有洪泛"),
    Level.SUSPECTED: Text("SYN flood suspected", "疑似 SYN 洪泛"),
    Level.FLOOD: Text("SYN flood", "SYN 洪泛"),
}

TITLES: Final = {
    (Level.FLOOD, Kind.RANDOM): Text(
        "SYN flood from random sources against {listener}", "{listener} 遭受来自随机源地址的 SYN 洪泛"
    ),
    (Level.FLOOD, Kind.PREFIX): Text(
        "SYN flood from one network, {network}, against {listener}", "{listener} 遭受来自同一网段 {network} 的 SYN 洪泛"
    ),
    (Level.FLOOD, Kind.HOST): Text(
        "SYN flood from one host, {network}, against {listener}", "{listener} 遭受来自同一主机 {network} 的 SYN 洪泛"
    ),
    (Level.FLOOD, Kind.UNKNOWN): Text("SYN flood against {listener}", "{listener} 遭受 SYN 洪泛"),
    (Level.FLOOD, Kind.UNATTRIBUTABLE): Text(
        "SYN flood; which listener it is aimed at cannot be told", "存在 SYN 洪泛，但无法判断目标是哪个监听端口"
    ),
    (Level.SUSPECTED, Kind.RANDOM): Text(
        "{listener} may be under a SYN flood from random sources", "{listener} 可能正遭受来自随机源地址的 SYN 洪泛"
    ),
    (Level.SUSPECTED, Kind.PREFIX): Text(
        "{listener} may be under a SYN flood from one network, {network}",
        "{listener} 可能正遭受来自同一网段 {network} 的 SYN 洪泛",
    ),
    (Level.SUSPECTED, Kind.HOST): Text(
        "{listener} may be under a SYN flood from one host, {network}",
        "{listener} 可能正遭受来自同一主机 {network} 的 SYN 洪泛",
    ),
    (Level.SUSPECTED, Kind.UNKNOWN): Text("{listener} may be under a SYN flood", "{listener} 可能正遭受 SYN 洪泛"),
    (Level.SUSPECTED, Kind.UNATTRIBUTABLE): Text(
        "There may be a SYN flood; which listener it is aimed at cannot be told",
        "可能存在 SYN 洪泛，但无法判断目标是哪个监听端口",
    ),
    (Level.SUSPECTED, Kind.SLOW_SERVER): Text(
        "The server at {listener} is too slow to accept, and half-open connections pile up; a SYN flood cannot be ruled out",
        "{listener} 上的服务器接受连接过慢，半连接正在堆积，不能排除 SYN 洪泛",
    ),
    (Level.NONE, Kind.SLOW_SERVER): Text(
        "The server at {listener} is too slow to accept: no SYN flood", "{listener} 上的服务器接受连接过慢：不是 SYN 洪泛"
    ),
}

REASONS: Final = {
    "handshakes": Text(
        "{failed} of the last {total} handshakes were not completed ({share:.0%})",
        "最近 {total} 次握手中有 {failed} 次没有完成（{share:.0%}）",
    ),
    "waiting": Text(
        "{failed} of {total} new half-open entries were still there a sample later ({share:.0%})",
        "{total} 个新的半连接中有 {failed} 个到下一次采样时仍在（{share:.0%}）",
    ),
    "old": Text(
        "{failed} of {total} half-open entries have waited for {seconds:.0f} s or more ({share:.0%})",
        "{total} 个半连接中有 {failed} 个已等待 {seconds:.0f} 秒以上（{share:.0%}）",
    ),
    "table": Text(
        "{failed} of {total} connections in the table are half-open ({share:.0%})",
        "表中 {total} 个连接里有 {failed} 个是半连接（{share:.0%}）",
    ),
    "cookies": Text(
        "{failed} of {total} SYN cookies sent were not answered ({share:.0%})",
        "发出的 {total} 个 SYN cookie 中有 {failed} 个没有得到应答（{share:.0%}）",
    ),
    "random": Text(
        "Their {distinct} sources look random: {randomness:.0%} of the entropy that so many addresses allow",
        "它们的 {distinct} 个源地址看起来是随机的：达到同样数量地址所允许熵的 {randomness:.0%}",
    ),
    "prefix": Text(
        "{share:.0%} of half-open entries come from {network}", "{share:.0%} 的半连接来自网段 {network}"
    ),
    "host": Text("{share:.0%} of half-open entries come from the host {network}", "{share:.0%} 的半连接来自主机 {network}"),
    "prefixes": Text(
        "{rate:.0f} networks a second that were not seen before", "每秒出现 {rate:.0f} 个此前未见过的网段"
    ),
    "repeats": Text(
        "{repeats} SYN,ACKs were sent again, against {completed} handshakes completed",
        "重发了 {repeats} 次 SYN,ACK，而完成的握手只有 {completed} 次",
    ),
    "pressure": Text(
        "The SYN queue holds {half_open} of at most {limit} entries", "SYN 队列中有 {half_open} 个半连接，上限为 {limit}"
    ),
    "refused": Text("{drops} SYNs found no room in the SYN queue", "{drops} 个 SYN 因 SYN 队列已满而被丢弃"),
    "resets": Text(
        "{resets} half-open entries were ended by a reset: the senders knew nothing of them",
        "{resets} 个半连接被 RST 终止：所谓的发送方并不知情",
    ),
    "evicted": Text("{evicted} half-open entries made room for newer ones", "{evicted} 个半连接被更新的半连接挤出"),
    "accept queue": Text(
        "The accept queue holds {length} connections of at most {limit}: the program does not accept them fast enough",
        "accept 队列中有 {length} 个连接，上限为 {limit}：程序接受连接不够快",
    ),
    "overflows": Text(
        "{drops} SYNs or final ACKs were dropped because the accept queue was full",
        "因 accept 队列已满，丢弃了 {drops} 个 SYN 或最后的 ACK",
    ),
}
