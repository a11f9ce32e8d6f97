# Draw $rows, each a name, and the ratios in $tcg and $kvm: row median quartile
# quartile.  Either of these can be empty, and need not have all rows.
set terminal svg size 460,(80 + 40 * |$rows|) dynamic noenhanced font 'sans-serif,14' background '#ffffff'
set logscale x
set xrange [5e-7:80]
set xtics ('0.000001' 1e-6, '' 1e-5, '0.0001' 1e-4, '' 1e-3, '0.01' 1e-2, '' 1e-1, '1' 1)
set xlabel 'patched / unpatched: median and quartiles'
set yrange [|$rows| + 0.2:0] noextend
unset ytics
set border 1
set xtics nomirror
set grid x lt 1 lc '#d3d3d3'
set lmargin 2
set rmargin 2
set tmargin 2
set key at screen 0.97, screen 0.995 right top horizontal samplen 1
set arrow from 1, graph 0 to 1, graph 1 nohead lc '#57606a' lw 2
plot $rows using (6e-7):($0 + .3):1 with labels left notitle, \
     $tcg using (70):($1 + .45):2 with labels right tc rgb '#1f5fa8' notitle, \
     $kvm using (70):($1 + .87):2 with labels right tc rgb '#57606a' notitle, \
     $tcg using 2:($1 + .6):3:4 with xerrorbars pt 7 ps 0.7 lw 2 lc '#1f5fa8' title 'TCG', \
     $kvm using 2:($1 + .82):3:4 with xerrorbars pt 6 ps 0.7 lw 2 lc '#57606a' title 'KVM'
