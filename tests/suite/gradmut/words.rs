//! probe

use super::mutants::MUTANTS;
use super::{nets, run};

#[test]
fn probe() {
    for mutant in MUTANTS.iter().filter(|mutant| mutant.equivalent.is_none()) {
        let report = run(&nets::net(mutant.net), 0, 0, mutant).expect("compiles");
        println!("{} {} [{}]", mutant.number, mutant.name, report.verdict.word());
        for fault in &report.faults {
            println!("    fault {:?} {} at {}: {:?}", fault.kind, fault.node, fault.point, fault.slips);
            for tensor in report.tensors.iter().filter(|t| fault.tensors.contains(&t.name)) {
                println!("    tensor {}: {:?}", tensor.name, tensor.diagnosis);
            }
        }
    }
}
