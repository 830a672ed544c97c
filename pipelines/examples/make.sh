#!/bin/sh
# Makes the bundled recordings again: speech by espeak-ng, sounds by sox. Run inside this folder.
set -eu
mkdir -p audio
say() { # name voice speed pitch gap words
    espeak-ng -v "$2" -s "$3" -p "$4" -g "$5" -w "audio/$1.wav" "$6"
}
say speech-1 en-us 150 50 4 "yes no stop"
say speech-2 en-gb 170 40 2 "happy dog follow tree"
say speech-3 en+f3 140 60 6 "left right up down"
say speech-4 en+m3 160 35 3 "one two three four five six"
say speech-5 en-us+f2 180 55 0 "visual learn forward"
say speech-6 en-gb+m1 130 30 8 "house bird"
sox -R -n -r 24000 -b 16 audio/sound-1.wav synth 1.2 sine 220 fade t 0.005 1.2 0.005 gain -9
sox -R -n -r 24000 -b 16 audio/sound-2.wav synth 1.0 sine 200:2000 fade t 0.005 1.0 0.005 gain -9
sox -R -n -r 24000 -b 16 audio/sound-3.wav synth 1.1 whitenoise fade t 0.005 1.1 0.005 gain -15
sox -R -n -r 24000 -b 16 audio/tone.wav synth 0.9 sine 2000 fade t 0.005 0.9 0.005 gain -12
sox -R -n -r 24000 -b 16 audio/low.wav synth 0.9 sine 180 fade t 0.005 0.9 0.005 gain -12
sox -R audio/tone.wav audio/low.wav audio/sound-4.wav
# other rates, channels and containers, as they come in real collections
sox -R audio/speech-3.wav -r 44100 -c 2 audio/speech-3.flac
sox -R audio/speech-5.wav -r 16000 -C 4 audio/speech-5.ogg
sox -R audio/sound-4.wav -r 48000 -C 64 audio/sound-4.mp3
rm audio/speech-3.wav audio/speech-5.wav audio/sound-4.wav audio/tone.wav audio/low.wav
