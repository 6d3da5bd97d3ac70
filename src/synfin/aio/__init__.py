"""asyncio over synfin's sockets: a selector for virtual and real descriptors, and the drivers in real time."""
