# Draw $ratios, a row for each: "what" median quartile quartile
set terminal svg size 460,1180 dynamic noenhanced font 'sans-serif,14' background '#ffffff'
set logscale x
set xrange [5e-7:80]
set xtics ('0.000001' 1e-6, '' 1e-5, '0.0001' 1e-4, '' 1e-3, '0.01' 1e-2, '' 1e-1, '1' 1)
set xlabel 'patched / unpatched: median and quartiles'
set yrange [|$ratios|+0.4:0] noextend
unset ytics
set border 1
set xtics nomirror
set grid x lt 1 lc '#d3d3d3'
set lmargin 2
set rmargin 2
set key off
set arrow from 1, graph 0 to 1, graph 1 nohead lc '#57606a' lw 2
plot $ratios using (6e-7):($0 + .55):1 with labels left, \
     '' using (60):($0 + .9):2 with labels right, \
     '' using 2:($0 + .9):3:4 with xerrorbars pt 0 lw 2 lc '#1f5fa8', \
     '' using 2:($0 + .9) with points pt 7 ps 0.7 lc '#1f5fa8'
