package tabledump

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/packet/mrt"
)

// mrtDump is a sequence of MRT records. gobgp decodes their headers, the peers, and the attributes with next hops; what frames
// the entries of a prefix is walked here, so that those that nobody wants cost no memory.
type mrtDump struct {
	in      *bufio.Reader
	options Options
	offset  int64 // of the present record, in bytes of the unpacked data
	after   int64 // of the record after it
	held    int   // bytes of in that hold the present record's body
	long    bytes.Buffer
	peers   []tablePeer // of the last peer index table; nil before there was one
	hops    hopDecoder
	last    netip.Prefix // returned of the old form, which has a record for each peer of a prefix
}

// tablePeer is a peer of a peer index table.
type tablePeer struct {
	Peer
	wanted bool
}

func newMRTDump(in *bufio.Reader, o Options) *mrtDump {
	return &mrtDump{in: in, options: o, hops: hopDecoder{short: []*bgp.MarshallingOption{{MRT: true}}}}
}

// isMRT tells an MRT header: after four bytes of time comes the type, below 256, and no text has a zero byte.
func isMRT(in *bufio.Reader) bool {
	head, _ := in.Peek(6)
	return len(head) == 6 && head[4] == 0
}

func (d *mrtDump) pos() int64 { return d.offset }

func (d *mrtDump) where(offset int64) string { return fmt.Sprintf(": record at byte %d", offset) }

func (d *mrtDump) next(r *Route) (content, error) {
	h, body, err := d.record()
	if err != nil {
		return nothing, err
	}
	*r = Route{Pos: d.offset}
	switch h.Type {
	case mrt.TABLE_DUMPv2:
		return d.tableDump2(h, body, r)
	case mrt.TABLE_DUMP:
		return d.tableDump(h.SubType, body, r)
	case mrt.BGP4MP, mrt.BGP4MP_ET:
		return nothing, errors.New("it traces BGP messages and is no table dump: take the collector's \"rib\" or \"bview\" file")
	}
	return nothing, fmt.Errorf("MRT type %d is no table dump (12 and 13 are)", h.Type)
}

// record reads the next record. The body is valid until the next call.
func (d *mrtDump) record() (*mrt.MRTHeader, []byte, error) {
	_, _ = d.in.Discard(d.held) // bytes that Peek has shown
	d.held, d.offset = 0, d.after
	head, err := d.in.Peek(mrt.MRT_COMMON_HEADER_LEN)
	if err != nil {
		if errors.Is(err, io.EOF) && len(head) > 0 {
			err = cutOff("header", mrt.MRT_COMMON_HEADER_LEN, len(head))
		}
		return nil, nil, err
	}
	var long [mrt.MRT_COMMON_HEADER_LEN + 4]byte // room for the longer header of types that are refused
	copy(long[:], head)
	h, err := mrt.ParseHeader(long[:])
	if err != nil {
		return nil, nil, err
	}
	_, _ = d.in.Discard(mrt.MRT_COMMON_HEADER_LEN)
	if h.Len > MaxRecord {
		return nil, nil, fmt.Errorf("its length, %d bytes, is above the limit of %d", h.Len, MaxRecord)
	}
	d.after = d.offset + mrt.MRT_COMMON_HEADER_LEN + int64(h.Len)
	body, err := d.body(int(h.Len))
	return h, body, err
}

// body reads n bytes: in place where they fit the buffer, else with memory that grows with what comes.
func (d *mrtDump) body(n int) ([]byte, error) {
	var body []byte
	var err error
	if n <= d.in.Size() {
		body, err = d.in.Peek(n)
		d.held = len(body)
	} else {
		d.long.Reset()
		_, err = io.CopyN(&d.long, d.in, int64(n))
		body = d.long.Bytes()
	}
	if errors.Is(err, io.EOF) {
		err = cutOff("body", n, len(body))
	}
	return body, err
}

func cutOff(part string, want, got int) error {
	return fmt.Errorf("the file is cut off in the record's %s, of whose %d bytes it has %d", part, want, got)
}

// tableDump2 reads a record of type TABLE_DUMP_V2.
func (d *mrtDump) tableDump2(h *mrt.MRTHeader, body []byte, r *Route) (content, error) {
	t, known := tableOf(h.SubType)
	switch {
	case h.SubType == uint16(mrt.PEER_INDEX_TABLE):
		return nothing, d.peerIndexTable(h, body)
	case h.SubType == uint16(mrt.GEO_PEER_TABLE):
		return nothing, nil
	case !known:
		return nothing, fmt.Errorf("subtype %d of TABLE_DUMP_V2 is unknown", h.SubType)
	case d.peers == nil:
		return nothing, errors.New("a prefix comes before the table of peers that it refers to")
	}
	return d.rib(t, body, r)
}

func (d *mrtDump) peerIndexTable(h *mrt.MRTHeader, body []byte) error {
	m, err := mrt.ParseBody(body, h)
	if err != nil {
		return fmt.Errorf("the table of peers is damaged: %w", err)
	}
	d.peers = make([]tablePeer, 0, 64)
	found := false
	for _, p := range m.Body.(*mrt.PeerIndexTable).Peers {
		peer := Peer{p.IpAddress.Unmap(), p.AS}
		wanted := d.options.wants(peer)
		found = found || wanted
		d.peers = append(d.peers, tablePeer{peer, wanted})
	}
	if !found && !d.options.any() {
		return fmt.Errorf("no peer %s is in the table: it has %s", d.options, d.listPeers())
	}
	return nil
}

// listPeers names some of the peers.
func (d *mrtDump) listPeers() string {
	const most = 8
	var names []string
	for i, p := range d.peers {
		if i == most {
			return fmt.Sprintf("%s and %d more", strings.Join(names, ", "), len(d.peers)-most)
		}
		names = append(names, Options{p.Addr, p.AS}.String())
	}
	return strings.Join(names, ", ")
}
