"""What each measure is: name, unit, direction, whether MRIQC has the same formula, meaning.

Reports and documentation read this table. Not here: the formulas.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Definition:
    """One measure.

    Parameters
    ----------
    better : str
        ``lower``, ``higher``, ``zero`` (nearer to 0) or ``none``.
    is_mriqc : bool
        True where MRIQC 24.0.2 has this name for the same formula. The same image still gives
        other values there, as masks, alignment and correction of shading differ.
    """

    unit: str
    better: str
    is_mriqc: bool
    meaning: str


def _made(rows: str, *, is_mriqc: bool) -> dict[str, Definition]:
    found = {}
    for line in rows.strip().splitlines():
        names, unit, better, meaning = (part.strip() for part in line.split("|"))
        for name in names.split():
            found[name] = Definition("" if unit == "-" else unit, better, is_mriqc, meaning)
    return found


_SHARED = """
size_x size_y size_z size_t | voxels, volumes | none | size of the image
spacing_x spacing_y spacing_z | mm | none | distance of voxels
spacing_tr | s | none | time between volumes
efc | - | lower | entropy focus criterion: ghosts, blur and noise raise it, zeroed parts lower it
fber | - | higher | energy inside the mask over that in the air
fwhm_x fwhm_y fwhm_z fwhm_avg | voxels | lower | smoothness; noise lowers it
snr | - | higher | median over spread inside the mask; hardly sees noise, and blur raises it
dummy_trs | volumes | lower | volumes at the start that are not yet steady
fd_mean | mm | lower | mean framewise displacement: motion from volume to volume
fd_max | mm | lower | largest framewise displacement
fd_num | volumes | lower | volumes with a displacement above 0.2 mm
fd_perc | % | lower | share of volumes with a displacement above 0.2 mm
tsnr | - | higher | median of mean over spread in time
dvars_std dvars_vstd | - | lower | change from volume to volume over what noise would give
dvars_nstd | 1/1000 | lower | change from volume to volume, of the median signal
gcor | - | lower | mean correlation of all pairs of voxels; noise lowers it
gsr_x gsr_y | - | zero | ghost over signal along an axis
aor | - | lower | share of outlying voxels, mean over volumes
aqi | - | lower | how unlike the median volume the volumes are
snr_csf snr_gm snr_wm snr_total | - | higher | median over spread inside a tissue
snrd_csf snrd_gm snrd_wm snrd_total | - | higher | median of a tissue over noise in the air
cnr | - | higher | contrast of white and grey matter over noise
cjv | - | lower | spread of white and grey matter over their contrast
wm2max | - | none | white matter over the brightest voxels; 0.6 to 0.8 is usual
icvs_csf icvs_gm icvs_wm | - | none | share of the intracranial volume
rpve_csf rpve_gm rpve_wm | - | lower | partial voluming left in a tissue
tpm_overlap_csf tpm_overlap_gm tpm_overlap_wm | - | none | overlap of a tissue with where an average brain has it
inu_range | - | lower | range of the shading in the brain, 5th to 95th percentile, at N4's own level
inu_med | - | none | median of the shading in the brain: N4's own level
qi_1 | - | lower | share of the air above the face that artefacts fill; MRIQC 24.0.2 always finds 0 by a fault in its mask
qi_2 | - | lower | how far the noise of the air above the face is from a chi-squared distribution
summary_csf_mean summary_gm_mean summary_wm_mean summary_bg_mean | white matter = 1000 | none | mean of a tissue, or of the air (bg)
summary_csf_median summary_gm_median summary_wm_median summary_bg_median | white matter = 1000 | none | median
summary_csf_p05 summary_gm_p05 summary_wm_p05 summary_bg_p05 | white matter = 1000 | none | 5th percentile
summary_csf_p95 summary_gm_p95 summary_wm_p95 summary_bg_p95 | white matter = 1000 | none | 95th percentile
summary_csf_stdv summary_gm_stdv summary_wm_stdv summary_bg_stdv | white matter = 1000 | none | standard deviation
summary_csf_mad summary_gm_mad summary_wm_mad summary_bg_mad | white matter = 1000 | none | median absolute deviation, as a standard deviation
summary_csf_k summary_gm_k summary_wm_k summary_bg_k | - | none | kurtosis, 0 for normal data
summary_csf_n summary_gm_n summary_wm_n summary_bg_n | voxels | none | sum of the shares
"""  # noqa: E501 - a table

_OWN = """
fd_max_frame dvars_peak_frame slice_z_frame kspace_z_frame slice_dropout_frame | volume, from 0 | none | where the largest value is
slice_z_slice kspace_z_slice slice_dropout_slice | slice, from 0 | none | where the largest value is
motion_range | mm | lower | farthest from the median position, on a sphere of 50 mm
unaligned_num | volumes | lower | volumes that could not be aligned
dvars_nstd_max | 1/1000 | lower | the largest change from one volume to the next
dvars_peak_ratio | - | lower | largest change from one volume to the next over the median change: shows a single bad volume
drift | - | zero | change of the mean signal along a straight line over the run
slice_z_max | - | lower | farthest that a slice's mean signal is from its course (robust z)
slice_z_num | slices | lower | slices in time beyond 10
kspace_z_max | - | lower | strongest single point of k-space (robust z): spikes
kspace_z_num | slices | lower | slices in time beyond 20
b0_num | volumes | none | volumes without diffusion weighting
shells_num | - | none | different b-values above 50 s/mm2
directions_num | volumes | none | volumes with diffusion weighting
b0_sigma | image's own | lower | noise between b = 0 volumes
b0_snr | - | higher | median of the mean b = 0 volume over the noise between such volumes
b0_motion_mean b0_motion_max | mm | lower | displacement from one b = 0 volume to the next
shell_motion_mean shell_motion_max | mm | lower | displacement from one volume of a shell to the next
slice_dropout_max | - | lower | largest share of its signal that a slice has lost
slice_dropout_num | slices | lower | slices that have lost more than 15 %
cnr_min | - | higher | contrast of directions over noise, of the worst shell
neighbour_correlation | - | higher | correlation with the volume of the nearest direction
noise_sigma | image's own | lower | noise inside the head, from second differences; texture raises it
head_snr | - | higher | median of the head over the noise inside it
air_sigma | image's own | lower | noise in the air, as the spread of its real part
raw_efc | - | lower | entropy focus criterion of the image as it is: ghosts, blur and noise raise it
raw_fber | - | higher | energy of the head over that in the air, before anything is clipped
raw_snrd_csf raw_snrd_gm raw_snrd_wm raw_snrd_total | - | higher | median of a tissue over the noise of the air, before anything is clipped
air_artifacts | - | lower | share of the air that is far brighter than noise: ghosts
channels_num | channels | none | channels of the kind that was measured
duration | s | none | length of the recording
sampling_rate | Hz | none | samples in a second
bad_channels_num | channels | lower | channels that are bad by any of the four criteria
bad_channels_perc | % | lower | share of channels that are bad by any of the four criteria
bad_flat_num | channels | lower | channels without any change in more than 1 % of the seconds
bad_deviation_num | channels | lower | channels whose amplitude is unlike the others' (5 robust z)
bad_noise_num | channels | lower | channels with much above 50 Hz (5 robust z)
bad_correlation_num | channels | lower | channels that go with no other (below .4 in more than 1 % of the seconds)
flat_perc | % | lower | share of seconds and channels without any change
saturated_perc | % | lower | share of samples that stick to the end of a channel's range
line_noise_db | dB | lower | power of the mains over what is beside it
line_noise_hz | Hz | none | where the mains is
slow_share | - | lower | share of power below 1 Hz in that below 40 Hz: drift
head_motion_range | mm | lower | farthest that a head coil was from its median place
head_motion_mean | mm | lower | mean distance of the head coils from their median places
"""  # noqa: E501 - a table

DEFINITIONS = MappingProxyType({**_made(_SHARED, is_mriqc=True), **_made(_OWN, is_mriqc=False)})


def definition_of(name: str) -> Definition:
    """Return what a measure is; ``cnr_b1000`` and its like are named after their shell.

    Raises
    ------
    KeyError
        No measure has this name.
    """
    if name.startswith("cnr_b") and name[5:].isdigit():
        return Definition(
            "", "higher", is_mriqc=False,
            meaning="contrast of directions over noise in this shell",
        )  # fmt: skip
    return DEFINITIONS[name]
