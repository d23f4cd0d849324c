package ovn

import "testing"

// FuzzLists reads values of external_ids and of columns, which others write too.
func FuzzLists(f *testing.F) {
	f.Add("physnet301:br-ext,physnet1:br-a", "02:AC:10:FF:00:11  172.16.255.11")
	f.Add("", "10.0.0.0/255.255.255.0")
	f.Add("10.0.0.4:8080, [FD00::4]:8080", "")
	f.Fuzz(func(t *testing.T, list, element string) {
		for network, bridge := range parseMappings(list).bridges() {
			if network+":"+bridge != "" && !sameList(list, list) {
				t.Errorf("%q is not itself", list)
			}
			if len(network)+len(bridge) > len(list) {
				t.Errorf("%q:%q from %q", network, bridge, list)
			}
		}
		if !sameList(list, ","+list+" ") {
			t.Errorf("a comma makes another list of %q", list)
		}
		if once := canonical(element); canonical(once) != once {
			t.Errorf("%q has two canonical spellings, %q and %q", element, once, canonical(once))
		}
		if once := canonicalMember(element); canonicalMember(once) != once {
			t.Errorf("%q has two canonical spellings, %q and %q", element, once, canonicalMember(once))
		}
		for _, mean := range []func(string) string{canonicalAnswer, canonicalEndpoints} {
			if once := mean(list); mean(once) != once {
				t.Errorf("%q has two canonical spellings, %q and %q", list, once, mean(once))
			}
		}
	})
}
