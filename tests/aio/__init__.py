"""Tests of synfin.aio and of asyncio in the simulation."""
