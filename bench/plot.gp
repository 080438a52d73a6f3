# Requests per second and processor time, a bar for each row. bench/report.py puts before this: $rows (a
# block for each cell; label, place, colour, req/s and CPU as median, least and most, CPU of the server,
# both medians as text), bars[] and titles[] of the cells, title and subtitle of the whole.
LINE = 20     # pixels of each bar
TITLE = 38    # of a cell's title and what is free above it
TOP = 144
BOTTOM = 14

cells = |bars|
height = TOP + BOTTOM
do for [cell = 1:cells] { height = height + TITLE + LINE * bars[cell] }

set terminal pngcairo size 1000, height font "DejaVu Sans,10" background "white" noenhanced
set output "plot.png"
set multiplot
unset key
unset border
unset xtics
set ytics scale 0 nomirror
set label 1 title at screen 0.015, 1 - 20.0 / height font ",14"
set label 2 subtitle at screen 0.015, 1 - 44.0 / height
set label 3 "Requests per second\nmore is better" at screen 0.26, 1 - (TOP - 24.0) / height
set label 4 "CPU microseconds per request, less is better\nfull: the server, pale: PostgreSQL" \
    at screen 0.64, 1 - (TOP - 24.0) / height

top = height - TOP
do for [cell = 1:cells] {
    set tmargin at screen 1.0 * (top - TITLE) / height
    set bmargin at screen 1.0 * (top - TITLE - LINE * bars[cell]) / height
    set label 5 titles[cell] at screen 0.015, 1.0 * (top - TITLE + 11) / height font ",11" textcolor rgb "#404040"
    set yrange [bars[cell] + 0.5:0.5]
    set xrange [0:*]
    set offsets 0, graph 0.25, 0, 0

    set lmargin at screen 0.26
    set rmargin at screen 0.62
    plot $rows index cell - 1 using (0):2:(0):4:($2 - 0.4):($2 + 0.4):3:ytic(1) \
            with boxxyerror fill solid noborder linecolor rgb variable, \
        "" index cell - 1 using 4:2:5:6 with xerrorbars pointtype -1 linecolor rgb "#202020", \
        "" index cell - 1 using 6:2:11 with labels left offset 0.7, 0
    unset label

    set lmargin at screen 0.64
    set rmargin at screen 0.99
    plot $rows index cell - 1 using (0):2:(0):10:($2 - 0.4):($2 + 0.4):3:ytic("") \
            with boxxyerror fill solid noborder linecolor rgb variable, \
        "" index cell - 1 using 10:2:10:7:($2 - 0.4):($2 + 0.4):3 \
            with boxxyerror fill transparent solid 0.4 noborder linecolor rgb variable, \
        "" index cell - 1 using 7:2:8:9 with xerrorbars pointtype -1 linecolor rgb "#202020", \
        "" index cell - 1 using 9:2:12 with labels left offset 0.7, 0
    top = top - TITLE - LINE * bars[cell]
}
unset multiplot
