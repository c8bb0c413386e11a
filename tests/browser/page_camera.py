# SPDX-License-Identifier: Apache-2.0
"""A picture for Chromium's fake camera: somebody in front of a wall, moving a little, so that
screenshots show a call and not a test card."""

import math

WIDTH, HEIGHT, FRAMES, RATE = 640, 480, 40, 20

# Wall, clothes, hair and skin as (Y, U, V).
_LOOKS = (((150, 120, 134), (70, 138, 118), (60, 120, 138), (172, 112, 148)),
          ((136, 134, 122), (104, 112, 146), (40, 126, 132), (132, 114, 146)),
          ((138, 128, 126), (60, 128, 134), (110, 108, 146), (160, 114, 150)))


def write_y4m(path, person):
    """A film of two seconds that can be repeated. YUV4MPEG2, 4:2:0."""
    wall, clothes, hair, skin = _LOOKS[person % len(_LOOKS)]
    with open(path, "wb") as file:
        file.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{RATE}:1 Ip A1:1 C420jpeg\n".encode())
        for n in range(FRAMES):
            sway = 10 * math.sin(2 * math.pi * n / FRAMES)
            nod = 4 * math.sin(4 * math.pi * n / FRAMES)
            shapes = ((320 + sway * 0.5, 560, 190, 200, clothes),
                      (320 + sway, 216 + nod, 78, 92, hair),
                      (320 + sway * 0.7, 330, 36, 60, skin), (320 + sway, 236 + nod, 62, 80, skin))
            file.write(b"FRAME\n")
            for plane in range(3):
                file.write(_plane(plane, wall, shapes))


def _plane(plane, wall, shapes):
    scale = 2 if plane else 1
    width, rows = WIDTH // scale, bytearray()
    for y in range(0, HEIGHT, scale):
        shade = (y - HEIGHT / 2) / HEIGHT * (-36 if plane == 0 else 0)
        row = bytearray([round(wall[plane] + shade)]) * width
        for centre_x, centre_y, radius_x, radius_y, color in shapes:
            height = 1 - ((y - centre_y) / radius_y) ** 2
            if height <= 0:
                continue
            half = radius_x * math.sqrt(height)
            left, right = round((centre_x - half) / scale), round((centre_x + half) / scale)
            left, right = max(left, 0), min(right, width)
            row[left:right] = bytes([color[plane]]) * (right - left)
        rows += row
    return bytes(rows)
