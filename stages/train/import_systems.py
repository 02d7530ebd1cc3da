"""What each published system feeds its network, and what its files call things."""

from __future__ import annotations

from typing import Any, NamedTuple


class Centres(NamedTuple):
    """A form in which class centres are published.

    Attributes:
        name: of the tensor, without what wraps it; `*` is the number of a sphere.
        columns: the tensor is [E, C], a class a column; else [C, E].
        shards: each rank may have saved its own classes in a file of its own.
    """

    name: str
    columns: bool = False
    shards: bool = False


class System(NamedTuple):
    """One published system.

    Attributes:
        families: files of stages/networks that its checkpoints may hold.
        settings: of the network, those that no shape tells.
        colour, mean, scale: its input contract.
        centres: forms of its class centres, the first that fits is taken.
        margin: running statistics of its margin: the buffer here by the tensor's name there.
        loss: file of stages/losses that its classes were trained with; "" where it is one of many.
        dead: tensors, by their last names, that the system's own code never uses.
        set_head: a head for sets of images lies beside the network.
    """

    families: tuple[str, ...]
    settings: dict[str, Any]
    colour: str
    mean: float
    scale: float
    centres: tuple[Centres, ...]
    margin: dict[str, str]
    loss: str
    dead: tuple[str, ...] = ()
    set_head: bool = False


class Layout(NamedTuple):
    """Two tensors of a family, by their published names.

    Attributes:
        anchor: is found once in each network, and its first dimension is the last map's channels.
        projection: its first dimension is the embedding's.
    """

    anchor: str
    projection: str


_IR = Layout("output_layer.0.weight", "output_layer.3.weight")
LAYOUTS = {
    "iresnet": Layout("layer4.0.conv2.weight", "fc.weight"),
    "mobilefacenet": Layout("conv_6_dw.conv.weight", "linear.weight"),
    "ir": _IR,
    "ir_se": _IR,
    "scf_resnet": _IR,
}

SYSTEMS = {
    "magface": System(
        families=("iresnet",),
        settings={"flavour": "magface"},
        colour="bgr",
        mean=0.0,
        scale=255.0,
        # A single process wraps the whole model and has classes in columns; ranks have rows.
        centres=(
            Centres("module.fc.weight", columns=True),
            Centres("fc.weight", shards=True),
            Centres("fc.weight", columns=True),
        ),
        margin={},
        loss="magface",
    ),
    "btnet": System(
        families=("iresnet",),
        settings={"flavour": "insightface"},
        colour="rgb",
        mean=127.5,
        scale=127.5,
        centres=(Centres("weight", shards=True),),
        margin={"margin_softmax.t": "margin.t"},
        loss="curricularface",
    ),
    "insightface": System(
        families=("iresnet",),
        settings={"flavour": "insightface"},
        colour="rgb",
        mean=127.5,
        scale=127.5,
        centres=(Centres("weight", shards=True),),
        margin={},
        loss="",
    ),
    "scf": System(
        families=("scf_resnet",),
        settings={},
        colour="rgb",
        mean=127.5,
        scale=128.0,
        centres=(Centres("arc_face_state_dict.weight"),),
        margin={},
        loss="",
    ),
    "adaface": System(
        families=("ir",),
        settings={},
        colour="bgr",
        mean=127.5,
        scale=127.5,
        centres=(Centres("head.kernel", columns=True),),
        margin={"head.batch_mean": "margin.mean", "head.batch_std": "margin.std"},
        loss="adaface",
        dead=("head.t",),
    ),
    "multiface": System(
        families=("mobilefacenet", "ir_se"),
        settings={},
        colour="bgr",
        mean=127.5,
        scale=127.5,
        centres=(Centres("para*", columns=True), Centres("kernel", columns=True)),
        margin={},
        loss="",
    ),
    "coreset": System(  # AdaFace's trunk; its own `head.kernel` has the centres of sets
        families=("ir",),
        settings={},
        colour="bgr",
        mean=127.5,
        scale=127.5,
        centres=(Centres("head.kernel", columns=True),),
        margin={"head.batch_mean": "margin.mean", "head.batch_std": "margin.std"},
        loss="adaface",
        set_head=True,
    ),
}
