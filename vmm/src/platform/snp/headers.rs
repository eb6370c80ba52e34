//! Structures and numbers of the launch, compared with those of the kernel's own headers: a C program
//! that includes them says sizes, offsets and values, and nothing of it is typed in here.
//!
//! The installed headers serve where they know SNP, those of `resources/kernel/headers` elsewhere;
//! where there are none, or no C compiler, the build says so and the test is ignored.

use super::firmware::{
    IssueCommand, NO_FIRMWARE_CALL, SEV_ISSUE_CMD, SNP_PLATFORM_STATUS, STATUS_NAMES, SnpStatus,
};
use super::kernel::ENABLE_REQ_CERTS;
use crate::vcpu::confidential::{EXIT_SNP_REQ_CERTS, RequestCertificates};
use kvm_bindings::*;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::mem::offset_of;
use std::process::Command;

/// What the headers and this program each say: a C expression and its value here.
type Table = Vec<(String, u64)>;

fn table() -> Table {
    let mut table = Table::new();
    /// Size of a structure and offsets of its fields, by their names in C.
    macro_rules! layout {
        ($($name:literal = $structure:ty { $($field:ident $(as $c:literal)?),* $(,)? })*) => {$(
            table.push((format!("sizeof({})", $name), size_of::<$structure>() as u64));
            $(
                let field = [$($c,)? stringify!($field)][0];
                let offset = offset_of!($structure, $field) as u64;
                table.push((format!("offsetof({}, {field})", $name), offset));
            )*
        )*};
    }
    layout! {
        "struct kvm_sev_cmd" = kvm_sev_cmd { id, data, error, sev_fd }
        "struct kvm_sev_init" = kvm_sev_init { vmsa_features, flags, ghcb_version }
        "struct kvm_sev_snp_launch_start" = kvm_sev_snp_launch_start { policy, gosvw, flags, pad0, pad1 }
        "struct kvm_sev_snp_launch_update" = kvm_sev_snp_launch_update {
            gfn_start, uaddr, len, type_ as "type", pad0, flags, pad1, pad2,
        }
        "struct kvm_sev_snp_launch_finish" = kvm_sev_snp_launch_finish {
            id_block_uaddr, id_auth_uaddr, id_block_en, auth_key_en, vcek_disabled, host_data, pad0,
            flags, pad1,
        }
        "struct kvm_create_guest_memfd" = kvm_create_guest_memfd { size, flags, reserved }
        "struct kvm_memory_attributes" = kvm_memory_attributes { address, size, attributes, flags }
        "struct kvm_userspace_memory_region2" = kvm_userspace_memory_region2 {
            slot, flags, guest_phys_addr, memory_size, userspace_addr, guest_memfd_offset, guest_memfd,
        }
        "struct kvm_exit_snp_req_certs" = RequestCertificates { gpa, npages, ret }
        "struct sev_issue_cmd" = IssueCommand { cmd, data, error }
        "struct sev_user_data_snp_status" = SnpStatus {
            api_major, api_minor, state, build_id, guest_count, current_tcb_version,
            reported_tcb_version,
        }
    }
    // Where the exits' structures are in `struct kvm_run`.
    let union = offset_of!(kvm_run, __bindgen_anon_1) as u64;
    for member in ["hypercall", "memory_fault", "system_event", "snp_req_certs"] {
        table.push((format!("offsetof(struct kvm_run, {member})"), union));
    }
    let mut value = |name: &str, value: u64| table.push((name.into(), value));
    for (name, number) in [
        ("KVM_SEV_INIT2", sev_cmd_id_KVM_SEV_INIT2),
        ("KVM_SEV_SNP_LAUNCH_START", sev_cmd_id_KVM_SEV_SNP_LAUNCH_START),
        ("KVM_SEV_SNP_LAUNCH_UPDATE", sev_cmd_id_KVM_SEV_SNP_LAUNCH_UPDATE),
        ("KVM_SEV_SNP_LAUNCH_FINISH", sev_cmd_id_KVM_SEV_SNP_LAUNCH_FINISH),
        ("KVM_SEV_SNP_ENABLE_REQ_CERTS", ENABLE_REQ_CERTS),
        ("KVM_EXIT_SNP_REQ_CERTS", EXIT_SNP_REQ_CERTS),
        ("KVM_EXIT_MEMORY_FAULT", KVM_EXIT_MEMORY_FAULT),
        ("KVM_EXIT_HYPERCALL", KVM_EXIT_HYPERCALL),
        ("KVM_SYSTEM_EVENT_SEV_TERM", KVM_SYSTEM_EVENT_SEV_TERM),
        ("KVM_MEMORY_EXIT_FLAG_PRIVATE", KVM_MEMORY_EXIT_FLAG_PRIVATE),
        ("KVM_MEMORY_ATTRIBUTE_PRIVATE", KVM_MEMORY_ATTRIBUTE_PRIVATE),
        ("KVM_MEM_GUEST_MEMFD", KVM_MEM_GUEST_MEMFD),
        ("KVM_X86_SNP_VM", KVM_X86_SNP_VM),
        ("KVM_X86_SW_PROTECTED_VM", KVM_X86_SW_PROTECTED_VM),
        ("KVM_SEV_SNP_ID_BLOCK_SIZE", 96),
        ("KVM_SEV_SNP_ID_AUTH_SIZE", 4096),
        ("KVM_SEV_SNP_FINISH_DATA_SIZE", 32),
        ("KVM_CAP_USER_MEMORY2", KVM_CAP_USER_MEMORY2),
        ("KVM_CAP_GUEST_MEMFD", KVM_CAP_GUEST_MEMFD),
        ("KVM_CAP_MEMORY_ATTRIBUTES", KVM_CAP_MEMORY_ATTRIBUTES),
        ("KVM_CAP_VM_TYPES", KVM_CAP_VM_TYPES),
        ("KVM_CAP_EXIT_HYPERCALL", KVM_CAP_EXIT_HYPERCALL),
        ("SNP_PLATFORM_STATUS", SNP_PLATFORM_STATUS),
    ] {
        value(name, number.into());
    }
    for (kind, name) in [
        (super::launch::PageKind::Normal, "NORMAL"),
        (super::launch::PageKind::Zero, "ZERO"),
        (super::launch::PageKind::Unmeasured, "UNMEASURED"),
        (super::launch::PageKind::Secrets, "SECRETS"),
        (super::launch::PageKind::Cpuid, "CPUID"),
    ] {
        value(&format!("KVM_SEV_SNP_PAGE_TYPE_{name}"), kind as u64);
    }
    for (status, name) in STATUS_NAMES {
        value(&format!("SEV_RET_{name}"), (*status).into());
    }
    value("(unsigned int)SEV_RET_NO_FW_CALL", NO_FIRMWARE_CALL.into());
    value("SEV_ISSUE_CMD", SEV_ISSUE_CMD());
    table
}

/// What the headers say of each expression.
fn probe(table: &Table, headers: &str) -> BTreeMap<String, u64> {
    let mut source = String::from(
        "#include <stddef.h>\n#include <stdio.h>\n#include <linux/kvm.h>\n#include <linux/psp-sev.h>\n\
         int main(void) {\n",
    );
    for (expression, _) in table {
        writeln!(
            source,
            "printf(\"%s=%llu\\n\", \"{expression}\", (unsigned long long)({expression}));"
        )
        .unwrap();
    }
    source += "return 0; }\n";
    let directory = tempfile::tempdir().unwrap();
    let (file, program) = (directory.path().join("probe.c"), directory.path().join("probe"));
    std::fs::write(&file, source).unwrap();
    let mut compiler = Command::new("cc");
    // `-isystem` goes before the installed headers.
    compiler.args(["-w", "-isystem", headers, "-o"]).arg(&program).arg(&file);
    assert!(compiler.status().unwrap().success(), "{compiler:?}");
    let output = String::from_utf8(Command::new(program).output().unwrap().stdout).unwrap();
    let line = |line: &str| {
        let (expression, value) = line.split_once('=').unwrap();
        (expression.to_owned(), value.parse().unwrap())
    };
    output.lines().map(line).collect()
}

#[test]
#[cfg_attr(not(snp_headers), ignore = "needs headers that know SNP: resources/kernel/headers")]
fn structures_and_numbers_are_those_of_the_kernels_headers() {
    let headers = option_env!("RAVELIN_SNP_HEADERS").unwrap_or("/usr/include");
    let table = table();
    let told = probe(&table, headers);
    let differing: Vec<_> = table
        .iter()
        .filter(|(expression, value)| told.get(expression) != Some(value))
        .map(|(expression, value)| {
            format!("{expression} is {value} here, {:?}", told.get(expression))
        })
        .collect();
    assert!(differing.is_empty(), "{differing:#?}");
    assert_eq!(told.len(), table.len());
}
