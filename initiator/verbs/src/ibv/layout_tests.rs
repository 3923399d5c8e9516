//! `rdma-sys` declares by hand what bindgen cannot (unions), and reimplements what C inlines.
//! This compiles the real headers and compares every size and offset that the provider uses.

use std::ffi::CStr;
use std::fmt::Write as _;
use std::process::Command;

use rdma_sys as ffi;

/// Collects `C expression = Rust value` pairs.
#[derive(Default)]
struct Table(Vec<(String, usize)>);

macro_rules! layout {
    ($table:ident, $($c:literal => $rust:path { $($field:literal => $($path:ident).+),* $(,)? })*) => {
        $(
            $table.0.push((format!("sizeof({})", $c), size_of::<$rust>()));
            $($table.0.push((
                format!("offsetof({}, {})", $c, $field),
                std::mem::offset_of!($rust, $($path).+),
            ));)*
        )*
    };
}

fn table() -> Table {
    let mut t = Table::default();
    layout! { t,
        "struct ibv_sge" => ffi::ibv_sge {
            "addr" => addr, "length" => length, "lkey" => lkey,
        }
        "struct ibv_send_wr" => ffi::ibv_send_wr {
            "wr_id" => wr_id, "next" => next, "sg_list" => sg_list, "num_sge" => num_sge,
            "opcode" => opcode, "send_flags" => send_flags,
            "invalidate_rkey" => imm_data_invalidated_rkey_union, "wr" => wr,
            "qp_type" => qp_type, "bind_mw" => bind_mw_tso_union,
            "bind_mw.mw" => bind_mw_tso_union.bind_mw.mw,
            "bind_mw.rkey" => bind_mw_tso_union.bind_mw.rkey,
            "bind_mw.bind_info" => bind_mw_tso_union.bind_mw.bind_info,
        }
        "struct ibv_recv_wr" => ffi::ibv_recv_wr {
            "wr_id" => wr_id, "next" => next, "sg_list" => sg_list, "num_sge" => num_sge,
        }
        "struct ibv_wc" => ffi::ibv_wc {
            "wr_id" => wr_id, "status" => status, "opcode" => opcode, "byte_len" => byte_len,
            "invalidated_rkey" => imm_data_invalidated_rkey_union, "qp_num" => qp_num,
            "wc_flags" => wc_flags, "dlid_path_bits" => dlid_path_bits,
        }
        "struct ibv_qp_init_attr" => ffi::ibv_qp_init_attr {
            "send_cq" => send_cq, "recv_cq" => recv_cq, "srq" => srq, "cap" => cap,
            "cap.max_send_wr" => cap.max_send_wr, "cap.max_inline_data" => cap.max_inline_data,
            "qp_type" => qp_type, "sq_sig_all" => sq_sig_all,
        }
        "struct ibv_qp_attr" => ffi::ibv_qp_attr {
            "qp_state" => qp_state, "qp_access_flags" => qp_access_flags,
            "rate_limit" => rate_limit,
        }
        "struct ibv_context" => ffi::ibv_context {
            "device" => device, "ops" => ops, "ops.poll_cq" => ops.poll_cq,
            "ops.alloc_mw" => ops.alloc_mw, "ops.dealloc_mw" => ops.dealloc_mw,
            "ops.post_send" => ops.post_send, "ops.post_recv" => ops.post_recv,
            "async_fd" => async_fd, "abi_compat" => abi_compat,
        }
        "struct ibv_qp" => ffi::ibv_qp {
            "context" => context, "qp_num" => qp_num, "events_completed" => events_completed,
        }
        "struct ibv_cq" => ffi::ibv_cq {
            "context" => context, "cqe" => cqe,
            "async_events_completed" => async_events_completed,
        }
        "struct ibv_mw" => ffi::ibv_mw { "context" => context, "rkey" => rkey, "type" => type_ }
        "struct ibv_mw_bind_info" => ffi::ibv_mw_bind_info {
            "mr" => mr, "addr" => addr, "length" => length, "mw_access_flags" => mw_access_flags,
        }
        "struct ibv_mr" => ffi::ibv_mr { "lkey" => lkey, "rkey" => rkey }
        "struct ibv_device" => ffi::ibv_device {
            "transport_type" => transport_type, "name" => name,
        }
        "struct ibv_device_attr" => ffi::ibv_device_attr {
            "max_qp_wr" => max_qp_wr, "device_cap_flags" => device_cap_flags,
            "max_sge" => max_sge, "max_cqe" => max_cqe, "max_qp_rd_atom" => max_qp_rd_atom,
            "max_qp_init_rd_atom" => max_qp_init_rd_atom, "phys_port_cnt" => phys_port_cnt,
        }
        "struct ibv_port_attr" => ffi::ibv_port_attr {
            "state" => state, "active_mtu" => active_mtu, "link_layer" => link_layer,
        }
        "union ibv_gid" => ffi::ibv_gid {}
        "struct ibv_async_event" => ffi::ibv_async_event {
            "element" => element, "event_type" => event_type,
        }
        "enum ibv_event_type" => ffi::ibv_event_type {}
        "struct rdma_cm_id" => ffi::rdma_cm_id {
            "verbs" => verbs, "qp" => qp, "route" => route,
            "route.addr.src_storage" => route.addr.src_addr_union,
            "route.addr.dst_storage" => route.addr.dst_addr_union,
            "route.addr.addr" => route.addr.addr,
            "port_num" => port_num, "pd" => pd, "qp_type" => qp_type,
        }
        "struct rdma_event_channel" => ffi::rdma_event_channel { "fd" => fd }
        "struct rdma_conn_param" => ffi::rdma_conn_param {
            "private_data" => private_data, "private_data_len" => private_data_len,
            "responder_resources" => responder_resources, "initiator_depth" => initiator_depth,
            "retry_count" => retry_count, "rnr_retry_count" => rnr_retry_count,
            "qp_num" => qp_num,
        }
        "struct rdma_cm_event" => ffi::rdma_cm_event {
            "id" => id, "listen_id" => listen_id, "event" => event, "status" => status,
            "param.conn" => param,
        }
    }
    let constants: [(&str, u32); 18] = [
        ("IBV_WR_SEND", ffi::ibv_wr_opcode::IBV_WR_SEND),
        ("IBV_WR_SEND_WITH_INV", ffi::ibv_wr_opcode::IBV_WR_SEND_WITH_INV),
        ("IBV_WR_RDMA_WRITE", ffi::ibv_wr_opcode::IBV_WR_RDMA_WRITE),
        ("IBV_WR_RDMA_READ", ffi::ibv_wr_opcode::IBV_WR_RDMA_READ),
        ("IBV_WR_LOCAL_INV", ffi::ibv_wr_opcode::IBV_WR_LOCAL_INV),
        ("IBV_WR_BIND_MW", ffi::ibv_wr_opcode::IBV_WR_BIND_MW),
        ("IBV_MW_TYPE_2", ffi::ibv_mw_type::IBV_MW_TYPE_2),
        ("IBV_ACCESS_MW_BIND", ffi::ibv_access_flags::IBV_ACCESS_MW_BIND.0),
        ("IBV_WC_MW_BIND_ERR", ffi::ibv_wc_status::IBV_WC_MW_BIND_ERR),
        ("IBV_WC_IP_CSUM_OK", ffi::ibv_wc_flags::IBV_WC_IP_CSUM_OK.0),
        ("IBV_QPT_RC", ffi::ibv_qp_type::IBV_QPT_RC),
        ("IBV_QPS_ERR", ffi::ibv_qp_state::IBV_QPS_ERR),
        ("IBV_WC_RNR_RETRY_EXC_ERR", ffi::ibv_wc_status::IBV_WC_RNR_RETRY_EXC_ERR),
        ("IBV_WC_WITH_INV", ffi::ibv_wc_flags::IBV_WC_WITH_INV.0),
        ("IBV_EVENT_DEVICE_FATAL", ffi::ibv_event_type::IBV_EVENT_DEVICE_FATAL as u32),
        (
            "IBV_DEVICE_MEM_WINDOW_TYPE_2B",
            ffi::ibv_device_cap_flags::IBV_DEVICE_MEM_WINDOW_TYPE_2B.0,
        ),
        ("RDMA_CM_EVENT_TIMEWAIT_EXIT", ffi::rdma_cm_event_type::RDMA_CM_EVENT_TIMEWAIT_EXIT),
        ("RDMA_PS_TCP", ffi::rdma_port_space::RDMA_PS_TCP),
    ];
    t.0.extend(constants.map(|(name, value)| (name.to_owned(), value as usize)));
    t
}

#[test]
fn the_bindings_agree_with_the_headers() {
    let table = table();
    let mut source = String::from(
        "#include <stddef.h>\n#include <stdio.h>\n#include <infiniband/verbs.h>\n\
         #include <rdma/rdma_cma.h>\nint main(void) {\n",
    );
    for (expression, _) in &table.0 {
        writeln!(source, "printf(\"%zu\\n\", (size_t)({expression}));").unwrap();
    }
    source.push_str("return 0; }\n");
    let dir = tempfile::tempdir().unwrap();
    let (c, exe) = (dir.path().join("layout.c"), dir.path().join("layout"));
    std::fs::write(&c, source).unwrap();
    let compiled = Command::new("cc").arg("-o").arg(&exe).arg(&c).output().expect("cc runs");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let output = String::from_utf8(Command::new(&exe).output().unwrap().stdout).unwrap();
    let from_c: Vec<usize> = output.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(from_c.len(), table.0.len());
    for ((expression, rust), c) in table.0.iter().zip(from_c) {
        assert_eq!(*rust, c, "{expression}: rdma-sys (left) and the headers (right) differ");
    }
}

/// libibverbs keeps functions of 2006's structures under the same names with an older version;
/// bound to those, `ibv_reg_mr` and others would read our arguments as something else.
#[test]
fn todays_symbol_versions_are_bound() {
    let bound: [(&CStr, usize); 8] = [
        (c"ibv_reg_mr", ffi::ibv_reg_mr as *const () as usize),
        (c"ibv_dereg_mr", ffi::ibv_dereg_mr as *const () as usize),
        (c"ibv_create_cq", ffi::ibv_create_cq as *const () as usize),
        (c"ibv_modify_qp", ffi::ibv_modify_qp as *const () as usize),
        (c"ibv_query_device", ffi::ibv_query_device as *const () as usize),
        (c"ibv_query_port", ffi::ibv_query_port as *const () as usize),
        (c"ibv_get_device_list", ffi::ibv_get_device_list as *const () as usize),
        (c"ibv_get_async_event", ffi::ibv_get_async_event as *const () as usize),
    ];
    for (name, address) in bound {
        let lookup = |version: &CStr| {
            // SAFETY: both names end with a zero byte; the libraries are loaded.
            unsafe { libc::dlvsym(libc::RTLD_DEFAULT, name.as_ptr(), version.as_ptr()) as usize }
        };
        let (today, legacy) = (lookup(c"IBVERBS_1.1"), lookup(c"IBVERBS_1.0"));
        assert!(legacy != 0 && legacy != today, "{name:?}: the comparison means something");
        assert_eq!(address, today, "{name:?}");
    }
}
