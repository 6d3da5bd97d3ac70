"""Scripts in the packetdrill language, played against a stack in virtual time.

From text to verdict: source and parser make a syntax.Script of it, player plays that once, run applies what a person asked for,
report says what came of it. Owns no protocol: what a script sees is what the stack sends.
"""
