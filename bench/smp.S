# A firmware, and all of the guest: each vCPU that it has writes to pvpanic, as
# fast as it can, once its host wants it.  What is where in memory:
# guest/tiny.py.
	.set	APIC_BASE, 0x1b		# MSRs
	.set	X2APIC_ICR, 0x830
	.set	INIT, 0xc4500		# to all but self
	.set	STARTUP, 0xc46f0	# at 0xf0000, which is start

	.code16
start:
	xor	%ax, %ax
	mov	%ax, %ds

	mov	$APIC_BASE, %ecx
	rdmsr
	test	$1, %ah			# not the first vCPU
	jz	panic
	or	$0xc00, %ax
	wrmsr

idle:	cmpl	$0, 0x600c		# how many writes there are to be
	je	idle

	mov	$X2APIC_ICR, %ecx
	xor	%edx, %edx
	mov	$INIT, %eax
	wrmsr
	mov	$STARTUP, %eax
	mov	$1000, %bx		# one that is not ready misses it
1:	wrmsr
	dec	%bx
	jnz	1b

panic:	mov	$0x505, %dx
	mov	0x6000, %al		# what to write
1:	lock incl 0x6004		# begun
	out	%al, %dx
	lock incl 0x6008		# done
	jmp	1b

	.org	0xfff0			# where the CPU starts
	ljmp	$0xf000, $start
	.org	0x10000
