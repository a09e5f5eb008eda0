//! Groups of sources whose members are in several processes.
//!
//! Each worker says how far its last member has come, as often as it says how it goes; the coordinator answers with
//! how far those of all others have. As long as a worker has said nothing its members may be anywhere.

use std::collections::BTreeMap;

use millstream_state::time::WATERMARK_MIN;

/// What a process has said: by group, how far the last of it has come that counts.
pub(in crate::cluster) type Said = Vec<(String, Option<i64>)>;

/// For each process, how far the others have come, of what each has said; `None` if it has said nothing.
pub(super) fn of_others(said: &[Option<Said>]) -> Vec<Said> {
    let names = said.iter().flatten().flatten().map(|(name, _)| name);
    let names: BTreeMap<&String, ()> = names.map(|name| (name, ())).collect();
    let least = |name: &str, own: usize| {
        let others = said.iter().enumerate().filter(|(process, _)| *process != own);
        let times = others.filter_map(|(_, said)| match said {
            None => Some(WATERMARK_MIN),
            Some(said) => said.iter().find(|(known, _)| known == name).and_then(|known| known.1),
        });
        times.min()
    };
    let of = |own| names.keys().map(|name| ((*name).clone(), least(name, own))).collect();
    (0..said.len()).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hears_of_the_last_of_all_others() {
        let said = |groups: &[(&str, Option<i64>)]| {
            Some(groups.iter().map(|(name, least)| ((*name).to_owned(), *least)).collect::<Said>())
        };
        let all = [said(&[("a", Some(5))]), said(&[("a", Some(3)), ("b", None)]), None];
        let heard = of_others(&all);
        let first = Some(WATERMARK_MIN);
        assert_eq!(Some(&heard[0]), said(&[("a", first), ("b", first)]).as_ref());
        assert_eq!(Some(&heard[2]), said(&[("a", Some(3)), ("b", None)]).as_ref());
        let all = [all[0].clone(), all[1].clone(), said(&[])];
        assert_eq!(Some(&of_others(&all)[1]), said(&[("a", Some(5)), ("b", None)]).as_ref());
        assert_eq!(of_others(&[None, said(&[])]), [vec![], vec![]]);
    }
}
