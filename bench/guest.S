# A firmware, and all of the guest: it writes to pvpanic for ever, and counts
# in its memory, which bench.py shares.  See there for the addresses.
	.code16
start:
	xor	%ax, %ax
	mov	%ax, %ds
	mov	$0x505, %dx
1:	mov	0x6000, %al	# what to write
	incl	0x6004		# writes begun
	out	%al, %dx
	incl	0x6008		# writes done
	jmp	1b

	.org	0xfff0		# where the CPU starts
	ljmp	$0xf000, $start
	.org	0x10000
