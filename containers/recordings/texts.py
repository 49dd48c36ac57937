"""Which texts of a recording may stay: words and codes of the laboratory, nothing of a person.

Not here: where the texts stand in a file (the formats).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

_SHORTEST = 3
"""Shorter texts ("M", "EEG 1") occur by chance in any value."""
_LONG = 5
"""Texts of this length are looked for inside words, too; shorter ones as whole words."""
_RECURS = 3
"""A label that stands for a condition comes back; a note about a person does not."""
_LONGEST_LABEL = 40
_LONGEST_CODE = 4
_BETWEEN_WORDS = re.compile(r"[^\w]+|_+")
_INNER_WORDS = re.compile(r"[^\W\d_]+|\d+")
_EMPTY_WORDS = """
unknown none anonymous anonymized anon not available n/a nan male female startdate left right
ambidextrous eeg meg edf bdf bci2000 patient subject test recording name and the for file unit
generator device system biosemi activetwo brain products brainvision brainamp vision actichamp
nihon kohden natus xltek compumedics neuroscan elekta neuromag megin ctf kit ricoh yokogawa egi
grass micromed persyst cadwell data exchange matlab mat-file platform channel channels header
marker markers version event events position coil nasion dewar head ear jan feb mar apr may jun
jul aug sep oct nov dec string int integer float double bool boolean numeric true false
"""
_SAYS_NOTHING = frozenset(_EMPTY_WORDS.split())
_CODE = re.compile(r"[A-Za-z]{0,3}[-_ ]{0,3}\d{1,5}", re.ASCII)
"""Trigger codes: S  1, R128, T0, 42, DIN4."""
_ABOUT_PEOPLE = (
    r"\b(patient|subject|participant|name|operator|technician|birth|dob|mrn|id)\b"
    r"[^:=]{0,20}[:=]\s*(.+)"
)
_YEAR = re.compile(r"(19|20)\d\d")
_NUMBER = re.compile(r"[-+]?\d{1,5}(\.\d{1,6})?", re.ASCII)
_PERSONAL = re.compile(
    r"(?<!\d)(19|20)\d{2}[-/. ]?(0\d|1[0-2])[-/. ]?[0-3]\d(?!\d)"  # 2020-01-31, 20200131
    r"|(?<!\d)[0-3]?\d[-/. ][01]?\d[-/. ](\d{2}){1,2}(?!\d)"  # 31.01.2020, 1/2/20
    r"|\d[- ]?(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[- ]?\d{2}"
    r"|(?<!\d)\d{1,2}:\d{2}(:\d{2})?(?!\d)"  # a clock
    r"|\d{6,}"  # hospital numbers, telephones
    r"|@|https?:|www\.|[A-Za-z]:\\|\\\\|/(home|users|data|mnt|media)/"
    r"|\b(mr|mrs|ms|miss|dr|prof|herr|frau|mme|patient name|name)\b\.?",
    re.IGNORECASE,
)

_WORDS = """
a acceleration accelerometer accept active adult after alert all alpha amplitude analog and
annotation answer arm arousal artefact artifact at attend attended audio auditory average avg
awake bad baseline beep begin begins beta between big bipolar blank blink block blocked blinks
body both boundary bottom break breath breathing button buttonpress cal calibration catch cer
change channel channels check checkerboard chin choice clap clench clock close closed closing
code cold color colour comma condition cong congruent cont continuous control correct cross cue
data dc delay delta dev deviant dio digital din discontinuity distractor done down drift ear
ears ecg ecog edge eeg electrode electrodes emg empty end ends eog epoch error even event events
experiment eye eyeblink eyes exp face faces fast feedback fif file finger first fix fixation
flash flicker foot for freq frequency from gamma go goal good grad ground hand happy hand hear
heart high hit hold horizontal hot house houses hpi hv hyperventilation hz icon image imagery
impedance in incong incongruent incorrect initial inst instruction instructions interval is item
jaw k-complex key keypress large last left leg letter light line load localizer loss lost
low lower mag maintenance marker match meg memory mid middle misc miss mismatch mmn module mono
motor mouth move movement movements mu music muscle near negative neutral new next no noise
nogo none nonmatch nontarget normal novel now null odd oddball of off offset old on onset open
opened opening out overflow paradigm passive pause pause period phase photic picture pictures
play point position positive post practice pre press pressed prime probe pseudo pulse question
quiet random rare reaction ready real rec record recording recordings ref reference reject
relax release rem repeat reset resp response responses rest resting restart resume retention
reward right room rt run saccade sad sample save scan scene seg segment segments seizure sem
sequence session shift short sham show sign signal silence sit skip sleep slow small smooth
sound space spike spindle spindles stage standard standing start started starting starts state
status step still stim stimulation stimuli stimulus stop stopped stops swallow sync syncstatus
t talk talking tap tapping target targets task test text the theta threshold time timeout timer
to tone tones tongue top train training trans trial trials trig trigger trough tup turn unknown
up upper vep vertical video visual volume vowel w wait wake walk warning was wink with
word words wrong yawn yes zero
lights apnea hypopnea apnoea hypopnoea obstructive central mixed desaturation snore snoring limb
respiratory effort related unsure nrem n1 n2 n3 r lostsamples buffer acticap
clip note notes xlspike xlevent spikes wave waves sharp pattern background
resp oro nasal submental rectal temp temperature thorax thor abdomen abdo airflow flow pressure spo
sao pleth gsr eda emg eog ecg heog veog photodiode photo accel diode tibialis deltoid masseter
corrugator zygomatic respiration belt cannula therm thermistor plethysmogram microphone mic scl scr
horiz vert submentalis digitorum intercostal gyro gyroscope trig annotations
"""
_VOCABULARY = frozenset(_WORDS.split())
"""What experiments and laboratories are made of; no word here is much used as a name."""


def folded(text: str) -> str:
    """Return the text for comparison: no case, no accents, no width."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def words_of(text: str) -> set[str]:
    """Return what of an identifying value must not be met again: it, and its words."""
    whole = " ".join(text.replace("\x00", " ").split())
    parts = {whole, *(part for part in _BETWEEN_WORDS.split(whole) if not part.isdigit())}
    # A year says little by itself; birth dates are looked for as a whole.
    parts |= {run for run in re.findall(r"\d{4,}", whole) if not _YEAR.fullmatch(run)}
    return {
        part
        for part in parts
        if len(part) >= _SHORTEST
        and part.casefold() not in _SAYS_NOTHING
        and set(part) - set("xX ")
    }


def holds_identity(text: str, known: Iterable[str]) -> bool:
    """Tell whether the text holds one of the known texts, in any case, with or without accents."""
    whole = folded(text)
    squeezed = _BETWEEN_WORDS.sub("", whole)
    words = {whole, *_BETWEEN_WORDS.split(whole), *_INNER_WORDS.findall(whole)}
    words |= {word.casefold() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", text)}
    for each in known:
        plain = folded(each)
        if plain in words:
            return True
        if len(plain) >= _LONG and (plain in whole or _BETWEEN_WORDS.sub("", plain) in squeezed):
            return True
    return False


def is_safe_label(text: str, known: Iterable[str] = ()) -> bool:
    """Tell whether a text is free of known identities, dates, clocks, numbers and addresses."""
    return not _PERSONAL.search(text) and not holds_identity(text, known)


def is_vocabulary(text: str) -> bool:
    """Tell whether a text is made of the laboratory's words, trigger codes and numbers only."""
    if not text.strip() or _CODE.fullmatch(text.strip()):
        return True
    words = [word for word in re.split(r"[\s/_,:;.()\[\]=+#?!*%'\"<>&|^-]+", text) if word]
    return all(
        word.casefold() in _VOCABULARY or _NUMBER.fullmatch(word) or _CODE.fullmatch(word)
        for word in words
    )


_CHANNEL = re.compile(
    # Positions of electrodes (10-20, 10-10, 10-5), contacts inside the head, sensors of MEG; with
    # the kind before, the reference behind.
    r"(?:(?:EEG|MEG|EOG|ECG|EKG|EMG|ECOG|SEEG|DBS|MISC|EXG|STI|BIO|AUX|CHPI|REF|POL|RESP)"
    r"[ _:-]{0,2})?"
    r"(?:[A-Za-z]{1,4}|(?:[A-Za-z]{0,4}[ _']{0,2}\d{1,5}[A-Za-z]{0,2}))"
    r"(?:[ _-](?:REF|LE|RE|AR|AVG|A[12]|M[12]|Cz|G[12]|\d{1,5}))?",
    re.ASCII | re.IGNORECASE,
)


def is_channel_name(text: str, known: Iterable[str] = ()) -> bool:
    """Tell whether a text has the form of a channel's name, or is made of usual words."""
    plain = text.strip()
    is_usual = bool(_CHANNEL.fullmatch(plain)) or is_vocabulary(re.sub(r"\d", " ", plain))
    pair = re.split(r"[-/]", plain)
    is_pair = len(pair) == 2 and all(_CHANNEL.fullmatch(each.strip()) for each in pair)  # noqa: PLR2004 - bipolar
    return is_safe_label(text, known) and (is_usual or is_pair)


class EventTexts:
    """The texts of one recording's events, and what each becomes.

    Parameters
    ----------
    texts : iterable of str
        All texts, repeated as often as they occur.
    known : iterable of str
        Identities that must not stay.
    keep_checked : bool
        Keep every text that passes `is_safe_label`, not only the laboratory's words.
    """

    def __init__(self, texts: Iterable[str], known: Iterable[str], *, keep_checked: bool) -> None:
        counts = Counter(texts)
        known = frozenset(known)
        self._new: dict[str, str] = {}
        for text, count in counts.items():
            kept = is_safe_label(text, known) and (
                keep_checked
                or is_vocabulary(text)
                or (count >= _RECURS and len(text) <= _LONGEST_LABEL and len(text.split()) == 1)
            )
            if not kept:
                self._new[text] = f"event-{len(self._new) + 1}"
        self.replaced_count = sum(counts[text] for text in self._new)

    def __getitem__(self, text: str) -> str:
        return self._new.get(text, text)


def file_name_words(stem: str) -> frozenset[str]:
    """Return words of a file's name that may be a person's: not the laboratory's, not of BIDS."""
    plain = re.sub(r"(^|[_-])(task|acq|run|split|proc|desc)-[A-Za-z0-9]+", "", stem)
    return frozenset(
        word
        for word in re.split(r"[^\w]+|_+", plain)
        if len(word) >= _LONGEST_CODE and not is_vocabulary(word)
    ) - {"markers", "headshape", "points"}


def told_of_people(comment: str) -> list[str]:
    """Return what a comment says behind words such as "patient:" or "operator:", line by line."""
    return [
        found[2]
        for line in comment.splitlines()
        if (found := re.search(_ABOUT_PEOPLE, line, re.IGNORECASE))
    ]
