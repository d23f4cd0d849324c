package run

import "testing"

// What others name by a computed key is known once it is known which keys there are.
func TestOutputsOfComputedKeysReachOtherHosts(t *testing.T) {
	f := newFleet(t)
	p := f.program(`
	play "one" {
		hosts = role.first
		step "note" "/x" { text = "hello" }
		step "note" "each" {
			for_each = { "/k${step.note["/x"].length}" = "five", "/other" = "longer" }
			path     = each.key
			text     = each.value
		}
	}
	play "two" {
		hosts = role.other
		step "note" "of" {
			for_each = { "/z" = "/k5", "/w" = "/other" }
			path     = each.key
			text     = "a has ${hosts[role.first[0].name].step.note.each[each.value].length}"
		}
	}`)
	for _, want := range []int{2, 0} { // of each of the others
		recap := f.apply(p, f.options())
		if recap.Exit != OK || recap.Hosts["b"].Changed != want || recap.Hosts["c"].Changed != want {
			t.Errorf("exit %d: %+v\n%+v", recap.Exit, recap.Hosts, f.events)
		}
	}
	f.holds("a:/k5=five", "a:/other=longer", "a:/x=hello", "b:/w=a has 6", "b:/z=a has 4", "c:/w=a has 6", "c:/z=a has 4")
}
