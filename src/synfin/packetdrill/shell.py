"""stub"""
class Shell:
    def __init__(self, bench): pass
    def check(self, text): pass
    def run(self, text): return True
