package language

import (
	"errors"
	"fmt"
	"math/big"
	"net/netip"
)

// cidrHost is the address with a number in a network; negative numbers count
// from the end.
func cidrHost(p netip.Prefix, number *big.Float) (string, error) {
	n, exact := number.Int(nil)
	if exact != big.Exact {
		return "", errors.New("the number of a host is a whole number")
	}
	size := new(big.Int).Lsh(big.NewInt(1), uint(p.Addr().BitLen()-p.Bits()))
	if n.Sign() < 0 {
		n.Add(n, size)
	}
	if n.Sign() < 0 || n.Cmp(size) >= 0 {
		return "", fmt.Errorf("%s has no host number %s", p, number.Text('f', -1))
	}
	return addTo(p.Addr(), n).String(), nil
}

func cidrNetmask(p netip.Prefix) (string, error) {
	if !p.Addr().Is4() {
		return "", fmt.Errorf("%s is not IPv4: only IPv4 has netmasks", p)
	}
	ones := new(big.Int).Lsh(big.NewInt(1), 32)
	ones.Sub(ones, new(big.Int).Lsh(big.NewInt(1), uint(32-p.Bits())))
	return addTo(netip.IPv4Unspecified(), ones).String(), nil
}

// cidrSubnet is the subnet with a number, among those that are newBits longer
// than p.
func cidrSubnet(p netip.Prefix, newBits, number *big.Float) (string, error) {
	more, exact := newBits.Int64()
	n, exactNumber := number.Int(nil)
	longest := p.Addr().BitLen()
	switch {
	case exact != big.Exact || exactNumber != big.Exact || more < 0 || n.Sign() < 0:
		return "", errors.New("newbits and number are whole numbers, 0 or more")
	case more > int64(longest-p.Bits()):
		return "", fmt.Errorf("%s has no room for %d more bits", p, more)
	case n.BitLen() > int(more):
		return "", fmt.Errorf("%s has no subnet number %s with %d more bits", p, n, more)
	}
	bits := p.Bits() + int(more)
	n.Lsh(n, uint(longest-bits))
	return netip.PrefixFrom(addTo(p.Addr(), n), bits).String(), nil
}

func addTo(a netip.Addr, n *big.Int) netip.Addr {
	sum := new(big.Int).SetBytes(a.AsSlice())
	sum.Add(sum, n)
	raw := sum.FillBytes(make([]byte, a.BitLen()/8))
	out, _ := netip.AddrFromSlice(raw)
	return out
}
