# System V calling convention: RDI destination, RSI source (or byte), RDX length, RAX result.

.section .text.memory_functions, "ax"

.global memcpy
.balign 32
memcpy:
    mov rax, rdi
    cmp rdx, 16
    jb copy_small
    cmp rdx, 512
    ja copy_large
copy_forward:
    # The last 16 bytes first: the loop may then stop short of them.
    movups xmm1, [rsi + rdx - 16]
    lea r8, [rdi + rdx - 16]
1:  movups xmm0, [rsi]
    movups [rdi], xmm0
    add rsi, 16
    add rdi, 16
    cmp rdi, r8
    jb 1b
    movups [r8], xmm1
    ret
copy_large:
    mov rcx, rdx
    rep movsb
    ret
    # Below 16 bytes everything is read before anything is written, so memmove uses it too.
copy_small:
    cmp rdx, 8
    jae 8f
    cmp rdx, 4
    jae 4f
    test rdx, rdx
    jz 0f
    # One to three: first, middle and last.
    mov r10, rdx
    shr r10, 1
    movzx ecx, byte ptr [rsi]
    movzx r8d, byte ptr [rsi + rdx - 1]
    movzx r9d, byte ptr [rsi + r10]
    mov [rdi], cl
    mov [rdi + r10], r9b
    mov [rdi + rdx - 1], r8b
    ret
8:  mov rcx, [rsi]
    mov r8, [rsi + rdx - 8]
    mov [rdi], rcx
    mov [rdi + rdx - 8], r8
    ret
4:  mov ecx, [rsi]
    mov r8d, [rsi + rdx - 4]
    mov [rdi], ecx
    mov [rdi + rdx - 4], r8d
0:  ret

.global memmove
.balign 32
memmove:
    mov rax, rdi
    cmp rdx, 16
    jb copy_small
    mov rcx, rdi
    sub rcx, rsi
    # Destination within source: from the end.
    cmp rcx, rdx
    jae 3f
    movups xmm1, [rsi]
    lea r8, [rsi + rdx]
    lea r9, [rdi + rdx]
1:  movups xmm0, [r8 - 16]
    movups [r9 - 16], xmm0
    sub r8, 16
    sub r9, 16
    sub rdx, 16
    cmp rdx, 16
    ja 1b
    movups [rdi], xmm1
    ret
    # Apart, or destination before source: each load comes before the stores that reach it.
3:  cmp rdx, 512
    ja copy_large
    jmp copy_forward

.global memset
.balign 32
memset:
    mov r8, rdi
    mov eax, esi
    mov rcx, rdx
    rep stosb
    mov rax, r8
    ret

.global memcmp
.global bcmp
.balign 32
memcmp:
bcmp:
    xor ecx, ecx
1:  lea r8, [rcx + 8]
    cmp r8, rdx
    ja 2f
    mov r9, [rdi + rcx]
    cmp r9, [rsi + rcx]
    jne 2f
    mov rcx, r8
    jmp 1b
2:  cmp rcx, rdx
    jae 3f
    movzx eax, byte ptr [rdi + rcx]
    movzx r8d, byte ptr [rsi + rcx]
    sub eax, r8d
    jne 4f
    inc rcx
    jmp 2b
3:  xor eax, eax
4:  ret
