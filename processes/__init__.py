"""Lava Processes of the spiking network; connect them to your own.

Importing this package needs Lava. Each Process has a folder of its own that holds its models too,
because at compile time Lava executes every module beside the one that defines a Process.
"""

from softhebb_spiking._lava_compat import require_lava

require_lava()

from softhebb_spiking.processes.count_recorder.process import CountRecorder  # noqa: E402
from softhebb_spiking.processes.dendrite.process import Dendrite  # noqa: E402
from softhebb_spiking.processes.lateral_inhibition.process import LateralInhibition  # noqa: E402
from softhebb_spiking.processes.plastic_dense.process import PlasticDense  # noqa: E402
from softhebb_spiking.processes.rate_encoder.process import RateEncoder  # noqa: E402
from softhebb_spiking.processes.soft_wta.process import SoftWTA  # noqa: E402
from softhebb_spiking.processes.softhebb_layer.process import SoftHebbLayer  # noqa: E402
from softhebb_spiking.processes.spike_counter.process import SpikeCounter  # noqa: E402
from softhebb_spiking.processes.synapse_manager.process import SynapseManager  # noqa: E402

__all__ = [
    "CountRecorder",
    "Dendrite",
    "LateralInhibition",
    "PlasticDense",
    "RateEncoder",
    "SoftHebbLayer",
    "SoftWTA",
    "SpikeCounter",
    "SynapseManager",
]
