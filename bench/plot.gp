# Draw bench.tsv: gnuplot -e "tsv='...'; svg='...'" plot.gp
set terminal svg size 800,460 dynamic font 'sans-serif,13' background '#ffffff'
set output svg
set datafile separator '\t'
set logscale x
set format x '%g'
set xlabel 'patched / unpatched: time or memory, logarithmic'
set yrange [*:*] reverse
set grid x lc '#dddddd'
set lmargin 44
set key off
set arrow from 1, graph 0 to 1, graph 1 nohead lc '#888888' lw 2
plot tsv using 3:1:4:5:ytic(2) with xerrorbars pt 7 ps 0.7 lw 1.5 lc '#1f5fa8'
