import subprocess
import sys
import textwrap

import pytest


@pytest.mark.parametrize("code", [0, 3])
@pytest.mark.parametrize("is_heavy", [False, True])
def test_exit_functions_run_threads_end_and_what_was_printed_is_written(code: int, is_heavy: bool) -> None:
    program = f"""
        import atexit, sys, threading, time, types
        from neurosearch.cli.leaving import leave
        if {is_heavy}:
            sys.modules["torch"] = types.ModuleType("torch")
        atexit.register(print, "at exit")
        threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
        print("main", end=" ")
        leave({code})
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code
    assert done.stdout == "main thread\nat exit\n"
    assert done.stderr == ""


def test_an_executor_that_was_left_open_is_not_waited_for() -> None:
    program = """
        import sys, types
        from concurrent.futures import ThreadPoolExecutor
        from neurosearch.cli.leaving import leave
        sys.modules["torch"] = types.ModuleType("torch")
        executor = ThreadPoolExecutor(1)
        executor.submit(print, "work")
        leave(0)
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "work\n", "")


def test_a_text_as_exit_code_is_printed_as_python_does() -> None:
    program = "from neurosearch.cli.leaving import leave; leave('no such thing')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "no such thing\n")


def test_ctrl_c_while_the_commands_are_loaded_shows_no_traceback() -> None:
    program = """
        import sys
        from neurosearch.cli import main
        class Interrupted:
            def find_spec(self, name, path, target=None):
                if name == "neurosearch.cli.app":
                    raise KeyboardInterrupt
        sys.meta_path.insert(0, Interrupted())
        main()
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
