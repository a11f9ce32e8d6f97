# A firmware, and all of the guest: it resets itself, as often as its host
# wants.  What is where in memory: guest/tiny.py.
	.code16
start:
	xor	%ax, %ax
	mov	%ax, %ds

idle:	mov	0x600c, %eax		# how many resets there are to be
	cmp	%eax, 0x6004
	jae	idle
	incl	0x6004
	mov	$0xcf9, %dx		# the PIIX3's reset control
	mov	$6, %al
	out	%al, %dx
	hlt

	.org	0xfff0			# where the CPU starts
	ljmp	$0xf000, $start
	.org	0x10000
