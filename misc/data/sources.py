"""Where to get what is missing of the data sets; data/README.md has further sources."""

SPLITS = (
    "captions and splits: dataset_{}.json of caption_datasets.zip (36 MB), "
    "cs.stanford.edu/people/karpathy/deepimagesent, as {}"
)
OTHER_CAPTIONS = {
    "flickr8k": "; or Flickr8k_text.zip",
    "flickr30k": "; or results_20130124.token with the lists of Flickr30k Entities",
}
PHOTOGRAPHS = {
    "coco": "train2014.zip (13 GB) and val2014.zip (6.2 GB), or train2017.zip and val2017.zip, "
    "which are the same; images.cocodataset.org/zips, in coco/images",
    "flickr8k": "on request (1.1 GB), shannon.cs.illinois.edu/DenotationGraph, in flickr8k",
    "flickr30k": "on request (4.4 GB), shannon.cs.illinois.edu/DenotationGraph, in flickr30k",
    "flickr30k_entities": "those of flickr30k",
    **dict.fromkeys(("refcoco", "refcoco+", "refcocog"), "those of COCO's train2014"),
    "visual_genome": "images.zip (9.2 GB) and images2.zip (5.5 GB), "
    "cs.stanford.edu/people/rak248/VG_100K_2, in visual_genome",
}
INSTANCES = (
    "outlines and boxes: instances_val2014.json of annotations_trainval2014.zip (241 MB), or both "
    "files of annotations_trainval2017.zip; images.cocodataset.org/annotations, in coco"
)
REGIONS = "{0}: {0}.zip, homes.cs.washington.edu/~ranjay/visualgenome, in visual_genome"
IN_COCO = (
    "which images are in COCO val2014: captions_val2014.json of annotations_trainval2014.zip "
    "(241 MB), images.cocodataset.org/annotations, in coco; --all-images does without"
)
ENTITIES = "{}: github.com/BryanPlummer/flickr30k_entities, in flickr30k_entities"
REFERRING = "{}: {}.zip, github.com/lichengunc/refer says where, unpacked in the data root"
WORD_VECTORS = (
    "Skip-Thought: dictionary.txt and utable.npy (2.3 GB), www.cs.toronto.edu/~rkiros/models, "
    "in word_vectors; others by python -m misc.words; GloVe of 50 dimensions is "
    "built in: --word-vectors glove"
)
TOY = "no download: python train.py --preset toy makes it (130 MB)"
