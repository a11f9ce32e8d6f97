# Draw bench.tsv: gnuplot -e "tsv='...'; svg='...'" plot.gp
set terminal svg size 800,460 dynamic font 'sans-serif,13' background '#ffffff'
set output svg
set datafile separator '\t'
set logscale x
set xtics 1e-6, 10
set format x '10^{%T}'
set xlabel 'patched / unpatched'
set yrange [*:*] reverse
set offsets 0, 0, 0.5, 0.5
set grid x lc '#dddddd'
set lmargin 42
set key off
set arrow from 1, graph 0 to 1, graph 1 nohead lc '#888888' lw 2
plot tsv using 3:1:4:5:ytic(2) with xerrorbars pt 7 ps 0.7 lw 1.5 lc '#1f5fa8'
