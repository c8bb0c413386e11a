// SPDX-License-Identifier: Apache-2.0
// Two soft notes, until the returned function is called. Silent where the browser wants a click
// before any sound.
const kEveryMs = 3000;

export function ring(): () => void {
  const audio = new AudioContext();
  const play = () => {
    [523.25, 659.25].forEach((frequency, i) => note(audio, frequency, audio.currentTime + i * 0.28));
  };
  play();
  const timer = setInterval(play, kEveryMs);
  return () => {
    clearInterval(timer);
    void audio.close();
  };
}

function note(audio: AudioContext, frequency: number, at: number): void {
  const tone = new OscillatorNode(audio, { type: "sine", frequency });
  const loudness = new GainNode(audio, { gain: 0 });
  loudness.gain.setValueAtTime(0, at);
  loudness.gain.linearRampToValueAtTime(0.08, at + 0.03);
  loudness.gain.exponentialRampToValueAtTime(0.0001, at + 0.9);
  tone.connect(loudness).connect(audio.destination);
  tone.start(at);
  tone.stop(at + 1);
}
