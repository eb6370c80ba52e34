# Entry, vectors and descriptor tables of the supervisor.
#
# What has to be assembler and nothing else. The rest of the supervisor is Rust, in `.supervisor.*`
# sections, without SIMD instructions and without calls that leave the section: on some hosts every
# instruction at CPL 0 is emulated, a microsecond each, and not every one can be.

# The linker script puts the vectors at this address, 16 bytes each, so that the descriptors of the
# interrupt table are constants.
.set VECTORS, 0x200000
.set EXCEPTIONS, 32
.set INTERRUPTS, 16

.section .supervisor.vectors, "ax"
.global supervisor_vectors
supervisor_vectors:
.set vector, 0
.rept EXCEPTIONS
    .balign 16
    .if vector == 6
    jmp invalid_opcode
    .elseif vector == 29
    .byte 0x6a, vector          # push vector
    jmp vmm_communication
    .else
    # Exceptions that push an error code themselves (APM volume 2, 8.2).
    .if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 30
    .else
    .byte 0x6a, 0               # push 0
    .endif
    .byte 0x6a, vector          # push vector
    jmp exception_common
    .endif
    .set vector, vector + 1
.endr
.rept INTERRUPTS
    .balign 16
    jmp interrupt_common
.endr
.balign 16
supervisor_spurious:
    iretq

# General registers by their number, RAX lowest; in the place of RSP the one that was interrupted, which
# the processor has pushed. RDI points to them.
.macro save_registers
    push r15
    push r14
    push r13
    push r12
    push r11
    push r10
    push r9
    push r8
    push rdi
    push rsi
    push rbp
    push qword ptr [rsp + 8 * (11 + 5)]
    push rbx
    push rdx
    push rcx
    push rax
    cld
    mov rdi, rsp
.endm

# An exception ends the guest: `supervisor_exception` reports the frame that RDI points to.
.section .supervisor.text, "ax"
exception_common:
    save_registers
    and rsp, -16
    call supervisor_exception
1:  hlt
    jmp 1b

# #VC: `supervisor_vc` does the work of the instruction, in the frame that RDI points to, or ends the guest.
# It uses no vector registers, which are the interrupted program's.
vmm_communication:
    save_registers
    sub rsp, 8
    call supervisor_vc
    add rsp, 8
    pop rax
    pop rcx
    pop rdx
    pop rbx
    add rsp, 8                  # RSP
    pop rbp
    pop rsi
    pop rdi
    pop r8
    pop r9
    pop r10
    pop r11
    pop r12
    pop r13
    pop r14
    pop r15
    add rsp, 16                 # vector, error code
    iretq

# An interrupt only wakes: it comes in `wait`, the one place where interrupts are on.
interrupt_common:
    push rax
    push rcx
    push rdx
    mov ecx, 0x80b              # x2APIC end of interrupt
    xor eax, eax
    xor edx, edx
    wrmsr
    pop rdx
    pop rcx
    pop rax
    iretq

# The first instruction: 64-bit mode, RSI is the address of hvm_start_info.
.global supervisor_entry
supervisor_entry:
    lea rsp, [rip + supervisor_stack_top]
    mov rdi, rsi
    xor ebp, ebp
    call supervisor_start
    # RAX: the address of hvm_start_info, for user mode.
    mov rdi, rax
    mov rcx, [rip + supervisor_user_entry]
    lea rdx, [rip + user_stack_top - 8]     # as if called
    push 0x1b
    push rdx
    push 0x2                    # interrupts off
    push 0x23
    push rcx
    iretq

# Invalid opcode: a call, if user mode says so in RAX (see call.rs), else an exception as any other.
# RDI, RSI, RDX are the arguments, RAX the result.
invalid_opcode:
    cmp qword ptr [rsp + 8], 0x23
    jne 1f
    push r10
    mov r10, rax
    shr r10, 32
    cmp r10d, 0x5261766c        # call::MAGIC
    pop r10
    jne 1f
    add qword ptr [rsp], 2      # behind the ud2
    # Interrupts stay off in user mode, whatever was pushed: hosts without hardware virtualization
    # push the processor's own flag.
    mov qword ptr [rsp + 16], 0x2
    cld
    mov rcx, rdx
    mov rdx, rsi
    mov rsi, rdi
    mov edi, eax
    sub rsp, 8
    call supervisor_call
    add rsp, 8
    iretq
1:  push 0
    push 6
    jmp exception_common

.section .supervisor.data, "aw"
.balign 16
.global supervisor_gdt
supervisor_gdt:
    .quad 0
    .quad 0x00af9b000000ffff    # 0x08: supervisor code
    .quad 0x00cf93000000ffff    # 0x10: supervisor data
    .quad 0x00cff3000000ffff    # 0x18: user data
    .quad 0x00affb000000ffff    # 0x20: user code
    .quad 0, 0                  # 0x28: task state, filled in at run time
supervisor_gdt_end:

.global supervisor_gdt_pointer
supervisor_gdt_pointer:
    .word supervisor_gdt_end - supervisor_gdt - 1
    .quad supervisor_gdt

.global supervisor_idt_pointer
supervisor_idt_pointer:
    .word 256 * 16 - 1
    .quad supervisor_idt

supervisor_user_entry:
    .quad user_start

.balign 16
.global supervisor_tss
supervisor_tss:
    .long 0
    .quad supervisor_stack_top, 0, 0
    .quad 0
    .quad exception_stack_top, communication_stack_top, 0, 0, 0, 0, 0
    .quad 0
    .word 0, 104
    # I/O permission bitmap: a 0 for each port that user mode may use.
    .fill 0x2f8 / 8, 1, 0xff
    .byte 0                     # COM2, the report
    .fill (0x3f8 - 0x300) / 8, 1, 0xff
    .byte 0                     # COM1, the console
    .fill (0x600 - 0x400) / 8, 1, 0xff
    .byte 0xcf                  # PM1a control, power-off
    .byte 0xff
.global supervisor_tss_end
supervisor_tss_end:

# Gates: offset, selector, stack, type. Exceptions have a stack of their own (IST 1): the red zone
# below the interrupted code's stack pointer stays whole. So has #VC (IST 2), which may come while another
# is reported.
.balign 16
supervisor_idt:
.set vector, 0
.rept 256
    .if vector == 29
    .word vector * 16, 0x08, 0x8e02, VECTORS >> 16
    .long 0, 0
    .elseif vector < EXCEPTIONS && vector != 6
    .word vector * 16, 0x08, 0x8e01, VECTORS >> 16
    .long 0, 0
    .elseif vector < EXCEPTIONS + INTERRUPTS
    .word vector * 16, 0x08, 0x8e00, VECTORS >> 16
    .long 0, 0
    .elseif vector == 255
    .word (EXCEPTIONS + INTERRUPTS) * 16, 0x08, 0x8e00, VECTORS >> 16
    .long 0, 0
    .else
    .quad 0, 0
    .endif
    .set vector, vector + 1
.endr

.section .bss.supervisor.stacks, "aw", @nobits
.balign 16
    .skip 16384
.global supervisor_stack_top
supervisor_stack_top:
    .skip 8192
exception_stack_top:
    .skip 8192
communication_stack_top:

.section .bss.user_stack, "aw", @nobits
.balign 4096
    .skip 1 << 20
user_stack_top:
