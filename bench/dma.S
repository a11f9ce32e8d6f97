# A firmware, and all of the guest: an IDE disk reads into the BAR of a
# pvpanic-pci, so that the reports come from a device and not from a vCPU.
# What is where in memory: guest/tiny.py.
	.set	BAR, 0xe0000000
	.set	BUS_MASTER, 0xc000
	.set	TABLE, 0x8000
	.set	REPORTS, 256		# 2 bytes each: a sector

	.macro	pci register, value
	mov	$(0x80000000 + \register), %eax
	mov	$0xcf8, %dx
	out	%eax, %dx
	mov	$\value, %eax
	mov	$0xcfc, %dx
	out	%eax, %dx
	.endm

	.macro	write port, value
	mov	$\port, %dx
	mov	$\value, %al
	out	%al, %dx
	.endm

	.code16
start:
	xor	%ax, %ax
	mov	%ax, %ds
	mov	%ax, %es

	pci	0x2810, BAR		# 00:05.0, the pvpanic-pci
	pci	0x2804, 2		# decode memory
	pci	0x0920, BUS_MASTER	# 00:01.1, the PIIX3's IDE
	pci	0x0904, 5		# decode ports, be a bus master

	# Each piece of the sector goes to the same two bytes
	mov	$TABLE, %di
	mov	$REPORTS, %cx
	cld
1:	mov	$BAR, %eax
	stosl
	mov	$2, %eax
	stosl
	loop	1b
	movb	$0x80, -1(%di)		# the last one

idle:	mov	0x600c, %eax		# how many reports there are to be
	cmp	%eax, 0x6004
	jae	idle

	addl	$REPORTS, 0x6004	# begun
	mov	$(BUS_MASTER + 4), %dx
	mov	$TABLE, %eax
	out	%eax, %dx
	write	BUS_MASTER + 2, 6	# forget the last one's interrupt
	write	0x1f6, 0xe0		# one sector, the first
	write	0x1f2, 1
	write	0x1f3, 0
	write	0x1f4, 0
	write	0x1f5, 0
	write	0x1f7, 0xc8		# read by DMA
	write	BUS_MASTER, 9		# to memory, go
	mov	$(BUS_MASTER + 2), %dx
1:	in	%dx, %al
	test	$4, %al
	jz	1b
	mov	$0x1f7, %dx
	in	%dx, %al
	write	BUS_MASTER, 0
	addl	$REPORTS, 0x6008	# done
	jmp	idle

	.org	0xfff0			# where the CPU starts
	ljmp	$0xf000, $start
	.org	0x10000
