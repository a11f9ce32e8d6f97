# A firmware, and all of the guest: it writes to pvpanic as often as its host
# wants, who shares its memory.  See tiny.py for what is where.
	.code16
start:
	xor	%ax, %ax
	mov	%ax, %ds
	mov	%ax, %ss
	mov	$0x7000, %sp
	mov	$0x505, %dx

	# A timer ticks 18 times a second since the reset: let it be vector 8
	movw	$tick, 0x20
	movw	$0xf000, 0x22
	mov	$0x11, %al
	out	%al, $0x20
	mov	$8, %al
	out	%al, $0x21
	mov	$4, %al
	out	%al, $0x21
	mov	$3, %al
	out	%al, $0x21

idle:	mov	0x6004, %eax
	mov	0x600c, %ecx	# how many writes there are to be
	sub	%eax, %ecx
	jnz	1f
	mov	%eax, 0x6010	# how many there were when it was done
	sti
	hlt
	cli
	jmp	idle

1:	mov	0x6000, %al	# what to write
	incl	0x6004		# writes begun
	out	%al, %dx
	incl	0x6008		# writes done
	loopl	1b
	jmp	idle

tick:	iret

	.org	0xfff0		# where the CPU starts
	ljmp	$0xf000, $start
	.org	0x10000
