"""Sounds made from arithmetic alone: birds, a bell, a dog, a keyboard, a siren, a storm, crickets.

    studio = Studio(rate_hz=32_000, seed=0)
    sound = church_bell(studio, 7.0)  # float64 (224000,), of any level: the caller sets the loudness

Every sound has this form, depends on nothing but the studio's seed and rate, and follows how the real thing
works: struck bodies are sums of decaying partials, voices are pulses through formants, weather is noise under
slow envelopes. Many of the numbers were found by a search with EfficientAT's mn04 AudioSet tagger as the listener,
which was then asked again on seeds that the search had not used.
"""

from collections.abc import Callable

import numpy as np

__all__ = ["Studio", "air", "birds", "church_bell", "crickets", "dog", "keyboard", "siren", "thunderstorm"]

MIN_RATE_HZ = 16_000
"""What tells a keyboard or a bird lies between 2 and 8 kHz."""

Response = Callable[[np.ndarray], np.ndarray]


def lowpass(f: np.ndarray, high_hz: float) -> np.ndarray:
    return 1 / np.sqrt(1 + (f / high_hz) ** 2)


def bandpass(f: np.ndarray, low_hz: float, high_hz: float) -> np.ndarray:
    return lowpass(f, high_hz) * f / np.hypot(f, low_hz)


def resonance(f: np.ndarray, centre_hz: float, width_hz: float) -> np.ndarray:
    return 1 / np.hypot(1, (f - centre_hz) / (width_hz / 2))


class Studio:
    """A sampling rate, a source of chance, and the few tools that every sound is made with."""

    def __init__(self, rate_hz: int, seed: int | tuple[int, ...]) -> None:
        if rate_hz < MIN_RATE_HZ:
            raise ValueError(f"rate_hz is {rate_hz}: choose {MIN_RATE_HZ} or more, the sounds reach to 8 kHz")
        self.rate_hz = rate_hz
        self.rng = np.random.default_rng(seed)

    def time(self, seconds: float) -> np.ndarray:
        """The instants, in seconds, of so much sound: (n,)."""
        return np.arange(round(seconds * self.rate_hz)) / self.rate_hz

    def add(self, sound: np.ndarray, at_s: float, part: np.ndarray) -> None:
        """Mix `part` into `sound` in place; what reaches beyond its end is cut."""
        start = round(at_s * self.rate_hz)
        end = min(start + len(part), len(sound))
        sound[start:end] += part[: max(0, end - start)]

    def filtered(self, sound: np.ndarray, response: Response) -> np.ndarray:
        """Zero-phase filter: `response` maps frequencies in Hz to gains."""
        size = 1 << (len(sound) + self.rate_hz // 4).bit_length()
        gains = response(np.fft.rfftfreq(size, 1 / self.rate_hz))
        return np.fft.irfft(np.fft.rfft(sound, size) * gains, size)[: len(sound)]

    def noise(self, seconds: float, response: Response) -> np.ndarray:
        """Gaussian noise of that spectrum, RMS 1."""
        sound = self.filtered(self.rng.standard_normal(len(self.time(seconds))), response)
        return sound / np.sqrt(np.mean(sound**2))

    def wander(self, seconds: float, turns_hz: float) -> np.ndarray:
        """A smooth random curve between 0 and 1 that takes a new value `turns_hz` times a second."""
        position = self.time(seconds) * turns_hz
        knots = self.rng.random(int(seconds * turns_hz) + 2)
        index = position.astype(int)
        blend = (1 - np.cos(np.pi * (position - index))) / 2
        return knots[index] * (1 - blend) + knots[index + 1] * blend

    def tone(self, pitch_hz: np.ndarray) -> np.ndarray:
        """A sine whose frequency is given for every sample."""
        return np.sin(2 * np.pi * np.cumsum(pitch_hz) / self.rate_hz)

    def struck(self, seconds: float, pitches_hz: np.ndarray, decays_s: np.ndarray, levels: np.ndarray) -> np.ndarray:
        """A struck body: decaying partials of random phase; those too high for the rate are left out."""
        t = self.time(seconds)
        sound = np.zeros(len(t))
        for pitch_hz, decay_s, level in zip(pitches_hz, decays_s, levels, strict=True):
            phase = self.rng.uniform(0, 2 * np.pi)
            if pitch_hz < 0.48 * self.rate_hz:
                sound += level * np.exp(-t / decay_s) * np.sin(2 * np.pi * pitch_hz * t + phase)
        return sound

    def echoing(self, sound: np.ndarray, seconds: float, wet: float) -> np.ndarray:
        """The sound and its echo from a room or a street: convolution with dull noise that dies away."""
        t = self.time(seconds)
        tail = self.rng.standard_normal(len(t)) * np.exp(-6.9 * t / seconds)  # 60 dB down at the end
        tail = self.filtered(tail, lambda f: lowpass(f, 4000))
        tail *= wet / np.sqrt(np.sum(tail**2))
        size = 1 << (len(sound) + len(tail)).bit_length()
        return sound + np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(tail, size), size)[: len(sound)]


def air(studio: Studio, seconds: float) -> np.ndarray:
    """The outdoors when nothing happens: faint wind, mostly below 200 Hz, and a softer hiss of leaves."""

    def spectrum(f: np.ndarray) -> np.ndarray:
        return bandpass(f, 40, 9000) * (1 / np.maximum(f, 60) + 0.02 / np.sqrt(np.maximum(f, 40)))

    return studio.noise(seconds, spectrum) * (0.8 + 0.4 * studio.wander(seconds, 0.5))


def birds(studio: Studio, seconds: float) -> np.ndarray:
    """One bird near and two far: phrases of whistled notes around 4 kHz that arch, fall or trill."""
    rng = studio.rng
    sound = np.zeros(len(studio.time(seconds)))
    for distance, home_hz in ((1.0, 3830), (0.13, rng.uniform(2700, 4600)), (0.13, rng.uniform(2700, 4600))):
        at_s = rng.uniform(0.1, 0.6)
        while at_s < seconds - 0.6:
            shape, level = rng.integers(3), distance * rng.uniform(0.4, 1)
            phrase_hz = home_hz * rng.uniform(0.94, 1.06)
            for _ in range(rng.integers(2, 8)):
                note_s = 0.073 * rng.uniform(0.6, 1.4)
                t = studio.time(note_s)
                u = t / note_s
                arch, fall, trill = (
                    0.28 * np.sin(np.pi * u),
                    0.76 * (0.5 - u),
                    0.1 * np.sin(115 * t) + 0.2 * u,
                )
                pitch_hz = phrase_hz * (1 + (arch, fall, trill)[shape])
                note = studio.tone(pitch_hz) + 0.07 * studio.tone(2 * pitch_hz)
                studio.add(sound, at_s, level * note * np.sin(np.pi * u) ** 0.7)
                at_s += note_s + rng.uniform(0.015, 0.065)
            at_s += rng.uniform(0.04, 0.3)
    return studio.echoing(sound, 0.8, 0.05)


def church_bell(studio: Studio, seconds: float, *, prime_hz: float = 640.0) -> np.ndarray:
    """One bell struck every 2.4 s; each partial is a beating pair, and the higher the sooner gone."""
    rng = studio.rng
    named = [0.5, 1, 1.183, 1.506, 2]  # hum, prime, tierce (a minor third), quint, nominal
    ratios = np.array([*named, 2.514, 2.662, 3.011, 3.6, 4.166, 4.9, 5.433, 6.2, 6.8, 7.6, 8.5, 9.6])
    levels = ratios**-0.36
    levels[[0, 4]] = 0.11, 1.2  # the hum is soft; the nominal gives the bell its pitch
    split = 0.002 * rng.uniform(0.3, 1, len(ratios))
    bell_s = 6.0
    bell = sum(
        studio.struck(bell_s, prime_hz * ratios * (1 + side * split), 1.7 * ratios**-1.15, levels / 2)
        for side in (-1, 1)
    )
    t = studio.time(bell_s)
    bell += studio.noise(bell_s, lambda f: bandpass(f, 800, 6000)) * np.exp(-t / 0.02)  # the clapper
    bell *= np.minimum(1, t / 0.003)
    sound = np.zeros(len(studio.time(seconds)))
    for at_s in np.arange(0.2, seconds, 2.4):
        studio.add(sound, at_s * rng.uniform(0.98, 1.02), bell * rng.uniform(0.7, 1))
    return studio.filtered(studio.echoing(sound, 1.6, 1.0), lambda f: lowpass(f, 6000))


def dog(studio: Studio, seconds: float) -> np.ndarray:
    """Barks, one to three at a time: a rough voice whose pitch leaps and falls, through formants."""
    rng = studio.rng

    def throat(f: np.ndarray) -> np.ndarray:
        low = resonance(f, 505, 180) + 0.8 * resonance(f, 2250, 560)
        return low + 0.25 * resonance(f, 4300, 700) + 0.13 * resonance(f, 6300, 1200)

    sound = np.zeros(len(studio.time(seconds)))
    at_s = 0.1
    while at_s < seconds - 0.3:
        for _ in range(rng.integers(1, 4)):
            bark_s = 0.205 * rng.uniform(0.9, 1.1)
            u = studio.time(bark_s) / bark_s
            pitch_hz = 313 * rng.uniform(0.95, 1.05) * (1 + 0.75 * np.sin(np.pi * u**0.7) - 0.2 * u)
            pitch_hz *= 1 + 0.26 * (studio.wander(bark_s, 80) - 0.5)
            cycle = np.cumsum(pitch_hz) / studio.rate_hz % 1
            voice = np.exp(-(((cycle - 0.5) / 0.12) ** 2)) + 0.017 * rng.standard_normal(len(u))
            voice *= np.minimum(1, u / 0.08) * np.exp(-((np.maximum(0, u - 0.25) / 0.3) ** 1.5))
            bark = studio.filtered(np.diff(voice, prepend=0), throat)
            studio.add(sound, at_s, bark / np.abs(bark).max() * rng.uniform(0.7, 1))
            at_s += rng.uniform(0.33, 0.5)
        at_s += rng.uniform(0.3, 0.9)
    return studio.echoing(sound, 0.86, 0.34)


def keyboard(studio: Studio, seconds: float) -> np.ndarray:
    """Typing in bursts: a key is touched, hits the bottom 12 ms later, and comes back up after 70 to 110."""
    rng = studio.rng
    t = studio.time(0.05)
    decays_s, levels = np.array([52, 34, 26, 21, 16]) * 1e-4, np.array([0.24, 0.5, 0.6, 0.6, 0.5])

    def tap() -> np.ndarray:
        body_hz = 466 * np.array([1, 2.7, 5.5, 9.5, 15]) * rng.uniform(0.85, 1.15, 5)
        click = studio.noise(0.05, lambda f: bandpass(f, 1500, 9000)) * np.exp(-t / 0.0029)
        return studio.struck(0.05, body_hz, decays_s, levels) + 2 * click

    sound = np.zeros(len(studio.time(seconds)))
    at_s = 0.1
    while at_s < seconds - 0.2:
        studio.add(sound, at_s, 0.4 * tap())
        studio.add(sound, at_s + 0.012, rng.uniform(0.6, 1) * tap())
        studio.add(sound, at_s + rng.uniform(0.07, 0.11), 0.35 * tap())
        at_s += rng.uniform(0.3, 0.6) if rng.random() < 0.07 else 0.02 + rng.gamma(4, 0.032)
    return studio.echoing(sound, 0.25, 0.33)


def siren(studio: Studio, seconds: float) -> np.ndarray:
    """An electronic wail, 650 to 1500 Hz and back in 4.5 s: overdriven, through a horn, down a street."""
    pitch_hz = 650 + 850 * (0.5 - 0.5 * np.cos(2 * np.pi * studio.time(seconds) / 4.5)) ** 0.8
    wail = np.tanh(2.5 * studio.tone(pitch_hz) + 0.4) + 0.3 * studio.tone(2 * pitch_hz)
    return studio.echoing(studio.filtered(wail, lambda f: bandpass(f, 500, 3500)), 1.8, 0.6)


def rain(studio: Studio, seconds: float) -> np.ndarray:
    """The hiss of far drops, and near ones: some ring on leaves and puddles, some click on the ground."""
    rng = studio.rng
    hiss = studio.noise(seconds, lambda f: bandpass(f, 420, 9500))
    sound = 0.56 * hiss * (1 - 0.2 * studio.wander(seconds, 2))
    for at_s in rng.uniform(0, seconds, round(92 * seconds)):
        pitch_hz = 1800 * (5000 / 1800) ** rng.random()
        decay_s = rng.uniform(1.5, 8) / pitch_hz
        t = studio.time(6 * decay_s)
        ring = np.sin(2 * np.pi * pitch_hz * t) * np.exp(-t / decay_s)
        studio.add(sound, at_s, rng.exponential(0.5) * ring)
    t = studio.time(0.005)
    for at_s in rng.uniform(0, seconds, round(223 * seconds)):
        studio.add(sound, at_s, rng.exponential(0.54) * rng.standard_normal(len(t)) * np.exp(-t / 0.001))
    return sound


def thunderstorm(studio: Studio, seconds: float) -> np.ndarray:
    """Rain, and thunder that rolls: claps of low noise, each with a ragged tail."""
    t = studio.time(seconds)
    sound = 0.075 * rain(studio, seconds)
    for at_s, level in ((0.4, 1.0), (0.9, 0.6), (1.7, 0.8), (3.8, 0.7), (4.7, 0.9)):
        since_s = np.maximum(0, t - at_s)
        ragged = 0.2 + 0.8 * studio.wander(seconds, 5)
        clap = studio.noise(seconds, lambda f: bandpass(f, 25, 6000) / (1 + (f / 147) ** 1.9))
        sound += level * clap * ragged * (1 - np.exp(-since_s / 0.15)) * np.exp(-since_s / 0.68)
    return sound


def crickets(studio: Studio, seconds: float) -> np.ndarray:
    """Four crickets near 4.6 kHz, one of them close: three pulses a chirp, some three chirps a second."""
    rng = studio.rng

    def meadow(f: np.ndarray) -> np.ndarray:  # many more, far away
        return resonance(f, 4700, 300) ** 2 + 0.3 * resonance(f, 6900, 1200) ** 2

    sound = 0.064 * studio.noise(seconds, meadow)
    t = studio.time(0.025)
    for level in (1.0, *rng.uniform(0.05, 0.3, 3)):
        pulse = np.sin(2 * np.pi * 4630 * rng.uniform(0.93, 1.07) * t * (1 - 0.3 * t)) * np.hanning(len(t))
        period_s, pulse_s = 0.334 * rng.uniform(0.8, 1.2), rng.uniform(0.035, 0.042)
        at_s = rng.uniform(0, period_s)
        while at_s < seconds:
            for k in range(3):
                studio.add(sound, at_s + k * pulse_s, level * (0.6 + 0.13 * k) * rng.uniform(0.8, 1) * pulse)
            at_s += period_s * rng.uniform(0.95, 1.06)
    return studio.echoing(sound, 0.7, 0.16)
