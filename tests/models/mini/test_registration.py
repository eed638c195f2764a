"""The tower is known to transformers in time, whoever is imported first, and transformers is not imported for
it.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# A tower that needs from transformers what the real one does, and says when it was registered.
FAKE = """
import sys, types
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "okedit_cli.models.mini.tower":
            import importlib.machinery
            return importlib.machinery.ModuleSpec(name, self)
    def create_module(self, spec): return None
    def exec_module(self, module):
        from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
        class Config(PreTrainedConfig):
            model_type = "okedit_mini_vision"
        class Model(PreTrainedModel):
            config_class = Config
        def register():
            AutoConfig.register(Config.model_type, Config, exist_ok=True)
            AutoModel.register(Config, Model, exist_ok=True)
        module.register = register
sys.meta_path.insert(0, Finder())
"""
INSTALL = "from okedit_cli.models.mini.registration import install; install()\n"
KNOWN = """
from transformers import AutoConfig, AutoModel
assert AutoConfig.for_model("okedit_mini_vision").model_type == "okedit_mini_vision"
assert type(AutoConfig.for_model("okedit_mini_vision")) in AutoModel._model_mapping
"""


def _run(script):
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    return run.stdout


_IMPORTS = (
    "from transformers import AutoConfig",
    "from transformers import AutoModelForImageTextToText",
    "from transformers import LlavaForConditionalGeneration",
    "from transformers import AutoProcessor",
)


@pytest.mark.parametrize("later", _IMPORTS)
def test_known_when_transformers_comes_later(later):
    _run(f"{FAKE}{INSTALL}{later}\n{KNOWN}")


@pytest.mark.parametrize("first", ["import transformers", _IMPORTS[0], _IMPORTS[2]])
def test_known_when_transformers_was_there_before(first):
    _run(f"{FAKE}{first}\n{INSTALL}{KNOWN}")


def test_installing_imports_nothing():
    out = _run(INSTALL + "import sys; print('transformers' in sys.modules, 'torch' in sys.modules)")
    assert out.strip() == "False False"


def test_installing_twice_is_once():
    _run(INSTALL * 3 + "import sys\nassert sum(type(f).__name__ == '_Finder' for f in sys.meta_path) == 1")


def test_source_can_still_be_read():
    _run(INSTALL + "import inspect, transformers.modeling_utils as m; assert 'class' in inspect.getsource(m)")


@pytest.mark.skipif(
    "registration" not in (ROOT / "okedit_cli" / "__init__.py").read_text(),
    reason="the package does not install it",
)
def test_importing_okedit_is_enough():
    _run(f"{FAKE}import okedit_cli, sys; assert 'transformers' not in sys.modules\n{KNOWN}")


@pytest.mark.skipif(
    importlib.util.find_spec("okedit_cli.models.mini.tower") is None, reason="the tower is not there"
)
def test_the_real_tower_is_known():
    _run(INSTALL + "from transformers import AutoProcessor\n" + KNOWN)
