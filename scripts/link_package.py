"""Makes `gatewayz` importable, and callable as a command, in the environment that runs this file; needs no build tool."""

import stat
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
packages = Path(sysconfig.get_path("purelib"))
(packages / "gatewayz.pth").write_text(f"{ROOT / 'src'}\n", encoding="utf-8")
command = Path(sysconfig.get_path("scripts")) / "gatewayz"
# Worker processes import this file again under another name: only the first may run the command.
command.write_text(
    f"#!{sys.executable}\nimport sys\n\nfrom gatewayz.cli import main\n\n"
    'if __name__ == "__main__":\n    sys.exit(main())\n',
    encoding="utf-8",
)
command.chmod(command.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
