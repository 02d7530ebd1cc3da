import subprocess
import sys

AGAIN = """
import resource
import sys
from stages.core.entry import start

SIZE = int(sys.argv.pop())

def faults() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    len(b"a" * SIZE)  # freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def main() -> None:
    print(faults(), faults())

{call}
"""


def faults(call: str) -> list[int]:
    """Pages that the kernel had to provide for an array, and for a second one after it."""
    command = [sys.executable, "-c", AGAIN.replace("{call}", call), str(64 << 20)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


def test_a_stage_takes_freed_memory_again() -> None:
    first, second = faults("start(main)")
    assert first > 1000
    assert second < first / 10


def test_a_bare_process_does_not() -> None:
    first, second = faults("main()")
    assert second > first / 2
