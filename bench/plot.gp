# Processor time for each request. bench/report.py says how many rows of panels there are, and adds a
# plot command for each.
set terminal pngcairo size 1800, 420 * rows font "sans,11" background "white"
set output "plot.png"
set multiplot layout rows, 3 title "CPU microseconds for each request: the server (dark) and PostgreSQL (light)"
set style data histograms
set style histogram rowstacked
set style fill solid border -1
set boxwidth 0.7
set yrange [0:*]
set grid ytics
set xtics rotate by -25 nomirror
set key off
set rmargin 6
panel = "using 2:xticlabels(1) linecolor rgb '#30638e', '' using 3 linecolor rgb '#a9cce3'"
