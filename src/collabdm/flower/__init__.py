"""The round over Flower: TLS, authenticated nodes, clients that come back. It needs the extra `collabdm[flower]`.

`server_app` and `client_app` are what `flwr run` starts; nothing else in CollabDM imports this package.
"""

from importlib.util import find_spec

from collabdm.errors import ConfigError, explain

if find_spec("flwr") is None:
    raise ConfigError(
        explain("Flower", got="no package flwr", expected="flwr 1.41", fix="pip install 'collabdm[flower]'")
    )
